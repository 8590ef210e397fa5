"""A courier that was declared dead sends nothing of what it had claimed before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from flask_outbox import State, signals
from flask_outbox.courier.local_queue import LocalQueue
from flask_outbox.delivery import Envelope, Outcome, Progress, Reply, Report
from flask_outbox.errors import LeaseLost, OutboxUnavailable
from flask_outbox.outbox.records import Claim
from flask_outbox.transports.base import Transport
from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp
from tests.waiting import eventually

BACKLOG = 6


class Held(Transport):
    """Holds each message until ``go`` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken: list[str | None] = []

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        await self.go.wait()
        if not progress.lease_holds():
            raise LeaseLost("its lease is over")
        self.taken.append(envelope.message_id)
        return Report.same(envelope.recipients, Outcome.ACCEPTED, Reply(250, None, ""))

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


def test_what_others_have_sent_is_not_sent_once_it_is_back(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LocalQueue, "ahead", lambda _: BACKLOG)
    settings = {
        "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "OUTBOX_CONCURRENCY": 1,
        "OUTBOX_LEASE_SECONDS": 2.0,
    }
    site, held = make_site(**settings), Held()
    site.make_ready()
    courier = site.courier
    courier.lanes["default"].transport = held
    receipts = [site.send() for _ in range(BACKLOG)]
    eventually(lambda: site.counts() == {"leased": BACKLOG})

    def away(*_: object) -> None:
        raise OutboxUnavailable("The outbox cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(site.outbox, "renew", away)
        other = make_site(**settings)
        other.make_ready()
        other.wait_for(signals.message_sent, BACKLOG)
    eventually(courier._maintenance.lease_holds)
    courier.ask(held.go.set)
    site.wait_for(signals.lease_lost, BACKLOG)
    assert len(server.mails) == len(receipts)
    assert not held.taken


def test_a_message_is_returned_whose_attempt_has_not_begun(
    make_site: MakeSite, server: JournalSmtp
) -> None:
    """Its task has been made, but has not had its first turn in the event loop."""
    site = make_site(OUTBOX_CONCURRENCY=1)
    site.make_ready()
    courier = site.courier
    start = courier.take_claimed

    def start_and_let_go(claims: Sequence[Claim]) -> None:
        courier.take_claimed = start  # type: ignore[method-assign]
        start(claims)
        courier.let_go()

    courier.take_claimed = start_and_let_go  # type: ignore[method-assign]
    receipt = site.send()
    assert site.settled(receipt).state is State.SENT
    site.settled(site.send())
