"""Exim, as Debian has it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.outbox.databases import is_required
from tests.servers.exim import Exim, why_absent

from .talk import deliver_to_each

MAILS = 500


def test_all_of_many_arrive_once() -> None:
    reason = why_absent()
    if reason is not None:
        (pytest.fail if is_required("exim") else pytest.skip)(reason)
    addresses = [f"reader{number}@example.org" for number in range(MAILS)]
    with Exim() as server:
        deliver_to_each(server.host, server.port, addresses)
        assert Counter(server.taken) == Counter(addresses)
