"""Haraka, which answers 503 to commands that come with the end of a content."""

from __future__ import annotations

import pytest

from tests.outbox.databases import is_required
from tests.servers.haraka import Haraka, why_absent

from .talk import deliver_many


@pytest.mark.long
def test_all_of_many_arrive_once() -> None:
    reason = why_absent()
    if reason is not None:
        (pytest.fail if is_required("haraka") else pytest.skip)(reason)
    with Haraka() as server:
        deliver_many(server)
