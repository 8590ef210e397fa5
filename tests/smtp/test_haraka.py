"""Haraka, which answers 503 to what comes with the end of a content."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.outbox.databases import is_required
from tests.servers.haraka import Haraka, why_absent

from .talk import deliver_to_each

MAILS = 500


@pytest.mark.long
def test_all_of_many_arrive_once() -> None:
    reason = why_absent()
    if reason is not None:
        (pytest.fail if is_required("haraka") else pytest.skip)(reason)
    addresses = [f"reader{number}@example.org" for number in range(MAILS)]
    with Haraka() as server:
        deliver_to_each(server.host, server.port, addresses)
        assert Counter(server.taken) == Counter(addresses)
