"""Calls that start and stop a courier, or wait for it, from several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from flask_outbox import State, signals
from flask_outbox.engines import thread
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import Receipt
from tests.mail.conftest import MakeSite, site_with_backlog
from tests.mail.site import Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

BACKLOG = 3


@pytest.fixture
def backlogged(make_site: MakeSite) -> Site:
    return site_with_backlog(make_site, BACKLOG)


class Call(threading.Thread):
    """A call in a thread of its own, and what it returned."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._answer: Any = None
        self.start()

    def run(self) -> None:
        self._answer = self._call()

    def answer(self) -> Any:
        """What it returned, once it has."""
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        return self._answer


def test_stop_waits_for_a_courier_that_another_thread_has_told_to_stop(
    site: Site, server: JournalSmtp
):
    """The process would end, and the attempt with it."""
    server.behaviour = Behaviour(delay_seconds=0.5)
    receipt = site.send()
    site.wait_for(signals.message_began)
    courier = site.courier
    other = Call(site.mail.stop)
    eventually(courier._stopping.is_set)
    site.runtime.stop(drain=True)
    assert site.get(receipt).state is State.SENT
    other.answer()


def test_drain_goes_on_after_another_thread_has_stopped_the_courier(
    backlogged: Site, server: JournalSmtp
):
    """It waited for ever, for nobody delivered."""
    site = backlogged
    server.behaviour = Behaviour(hang=True)
    drain = Call(site.mail.drain)
    server.wait_until(lambda: server.held)
    courier = site.courier
    stop = Call(site.mail.stop)
    eventually(courier._stopping.is_set)
    server.behaviour = Behaviour()
    stop.answer()
    assert drain.answer() is True
    assert site.counts() == {State.SENT: BACKLOG}
    assert len(server.mails) == BACKLOG


def test_a_drain_whose_time_is_up_leaves_the_courier_to_another(
    backlogged: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    site = backlogged
    server.behaviour = Behaviour(hang=True)
    look, first = Outbox.anything_due, threading.current_thread()
    waits = threading.Event()
    others: list[Call] = []

    def look_once_another_waits(*args: Any) -> bool:
        if threading.current_thread() is not first:
            waits.set()
        elif not others:
            others.append(Call(site.mail.drain))
            assert waits.wait(WAIT_SECONDS)
        return look(*args)

    monkeypatch.setattr(Outbox, "anything_due", look_once_another_waits)
    assert site.mail.drain(0) is False
    server.behaviour = Behaviour()
    assert others[0].answer() is True
    assert site.counts() == {State.SENT: BACKLOG}
    assert len(site.told(signals.courier_started)) == 1


def test_a_courier_that_a_drain_has_started_stays_for_a_later_send(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    look = Outbox.anything_due

    def send_before_the_last_look(*args: Any) -> bool:
        monkeypatch.setattr(Outbox, "anything_due", look)
        receipts.append(site.send())
        return False

    receipts: list[Receipt] = []
    monkeypatch.setattr(Outbox, "anything_due", send_before_the_last_look)
    assert site.mail.drain() is True
    (receipt,) = receipts
    assert site.settled(receipt).state is State.SENT
    assert site.told(signals.courier_stopped) == []


def test_a_message_is_delivered_although_the_courier_was_stopped_while_it_was_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    enqueue = Outbox.enqueue

    def enqueue_once_stopped(*args: Any) -> list[Receipt]:
        monkeypatch.setattr(Outbox, "enqueue", enqueue)
        site.mail.stop()
        return enqueue(*args)

    monkeypatch.setattr(Outbox, "enqueue", enqueue_once_stopped)
    receipt = site.send()
    assert site.settled(receipt).state is State.SENT


def test_a_process_that_ends_when_its_courier_has_just_failed_delivers(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A new one would have been started soon."""
    monkeypatch.setattr(thread, "RESTART_SECONDS", WAIT_SECONDS)
    site.make_ready()
    failing = site.courier

    async def fail() -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(failing, "_claim_due", fail)
    monkeypatch.setattr(failing, "_failing_claims_reported", nullcontext)
    failing.wake()
    site.wait_for(signals.courier_stopped)
    receipt = site.send()
    site.runtime.stop(drain=True)
    assert site.get(receipt).state is State.SENT
    (said,) = [one.getMessage() for one in caplog.records if one.exc_info]
    assert said == "The courier failed unexpectedly; a new one is started."
    caplog.clear()


def test_a_process_that_ends_before_its_courier_has_begun_delivers(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    work, ends = thread.CourierThread._work, threading.Event()

    def work_once_it_ends(one: thread.CourierThread) -> None:
        assert ends.wait(WAIT_SECONDS)
        work(one)

    def begin_stop(one: thread.CourierThread, *, drain: bool = False) -> None:
        begin(one, drain=drain)
        ends.set()

    begin = thread.CourierThread.begin_stop
    monkeypatch.setattr(thread.CourierThread, "_work", work_once_it_ends)
    monkeypatch.setattr(thread.CourierThread, "begin_stop", begin_stop)
    receipt = site.send()
    site.runtime.stop(drain=True)
    assert site.get(receipt).state is State.SENT


def test_start_stop_and_drain_in_quick_succession_by_many_threads(
    site: Site, server: JournalSmtp
):
    """Whatever is acknowledged arrives once, and nobody waits for ever."""
    receipts: list[Receipt] = []

    def send() -> None:
        receipts.extend(site.send() for _ in range(20))

    def restart() -> None:
        for _ in range(10):
            site.mail.stop()
            site.mail.start()

    def drain() -> None:
        for _ in range(10):
            site.mail.drain(0.02)

    for call in [Call(one) for one in (send, send, restart, restart, drain, drain)]:
        call.answer()
    assert site.mail.drain(WAIT_SECONDS)
    assert site.counts() == {State.SENT: len(receipts)}
    assert server.arrived == sorted(one.rfc_message_id for one in receipts)
