"""Exim, as Debian has it."""

from __future__ import annotations

import pytest

from tests.outbox.databases import is_required
from tests.servers.exim import Exim, why_absent

from .talk import deliver_many


def test_all_of_many_arrive_once() -> None:
    reason = why_absent()
    if reason is not None:
        (pytest.fail if is_required("exim") else pytest.skip)(reason)
    with Exim() as server:
        deliver_many(server)
