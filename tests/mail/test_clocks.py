"""Clocks that are set forward or back while mail is waiting: none of it is delayed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import State, signals
from flask_outbox.courier.recorder import Recorder
from flask_outbox.outbox import Database, Outbox
from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

SetClock = Callable[[float], None]

LEASE_SECONDS = 1.0
"""A courier looks at the clock four times as often."""


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets this machine's clock so many seconds ahead, or back."""
    true = time.time

    def ahead(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: true() + seconds)

    return ahead


def test_a_host_that_is_ahead_of_its_database_sends_at_once(
    make_site: MakeSite, url: str, set_clock: SetClock
):
    set_clock(300)
    site = make_site(OUTBOX_URL=url)
    assert site.settled(site.send()).state is State.SENT


def test_a_server_s_time_is_known_before_the_first_mail(
    database: Database, url: str, set_clock: SetClock
):
    if database.embedded:
        pytest.skip("a file has no clock of its own")
    truth = time.time()
    set_clock(300)
    fresh = Database(url)
    try:
        assert fresh.now() == pytest.approx(truth, abs=60)
        set_clock(-300)
        assert fresh.now() == pytest.approx(truth, abs=60)
    finally:
        fresh.close()


@pytest.mark.parametrize("config", [{}, {"MAIL_RATE": "1/s"}], ids=["free", "limited"])
def test_waiting_mail_is_sent_although_the_clock_is_put_back(
    make_site: MakeSite,
    server: JournalSmtp,
    set_clock: SetClock,
    caplog: pytest.LogCaptureFixture,
    config: dict[str, object],
):
    site = make_site(OUTBOX_LEASE_SECONDS=LEASE_SECONDS, **config)
    server.go_down()
    waiting = [site.send(), site.send()]
    site.wait_for(signals.lane_paused)
    set_clock(-3_600)
    server.come_back()
    assert {site.settled(one).state for one in waiting} == {State.SENT}
    assert "The clock was set back by 1 h 0 min" in caplog.text


def test_mail_recorded_after_the_clock_was_read_is_sent(
    make_site: MakeSite,
    server: JournalSmtp,
    set_clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
):
    """Its next try was timed by the clock that was set back since."""
    looked = threading.Event()
    record, hasten, flush = Outbox.record, Outbox.hasten, Recorder.flush

    def record_late(outbox: Outbox, records: Any, *rest: Any) -> Any:
        if records:
            looked.wait(WAIT_SECONDS)
        return record(outbox, records, *rest)

    def look(outbox: Outbox, *, deferred: bool) -> int:
        hastened = hasten(outbox, deferred=deferred)
        if deferred:
            looked.set()
        return hastened

    async def waits(recorder: Recorder) -> None:
        looked.set()
        await flush(recorder)

    site = make_site(OUTBOX_LEASE_SECONDS=LEASE_SECONDS)
    server.go_down()
    with monkeypatch.context() as late:
        late.setattr(Outbox, "record", record_late)
        late.setattr(Outbox, "hasten", look)
        late.setattr(Recorder, "flush", waits)
        waiting = site.send()
        site.wait_for(signals.lane_paused)
        set_clock(-3_600)
        assert looked.wait(WAIT_SECONDS)
        server.come_back()
        assert site.settled(waiting).state is State.SENT


def test_mail_of_the_last_run_is_sent_although_the_clock_was_put_back(
    make_site: MakeSite, tmp_path: Path, server: JournalSmtp, set_clock: SetClock
):
    url = f"sqlite:///{tmp_path}/one.db"
    server.go_down()
    before = make_site(OUTBOX_URL=url)
    receipt = before.send()
    before.close()
    set_clock(-3_600)
    server.come_back()
    after = make_site(OUTBOX_URL=url)
    after.make_ready()
    assert after.settled(receipt).state is State.SENT
