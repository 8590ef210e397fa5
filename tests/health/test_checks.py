"""What is found out of a courier and of an outbox, and how long that may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from flask_outbox.engines.thread import CourierThread
from flask_outbox.health import (
    CHECK_SECONDS,
    FRESH_SECONDS,
    STUCK_SECONDS,
    CourierHealth,
    CourierWatch,
    OutboxHealth,
    ReadyCheck,
)
from flask_outbox.outbox import Database, Outbox
from tests.mail.site import Site
from tests.outbox.making import Clock
from tests.outbox.meanwhile import commits_of
from tests.process_models.black_holes import locked
from tests.waiting import WAIT_SECONDS, eventually

PROBES = 20


# ------------------------------------------------------------------------- the outbox


def test_an_outbox_that_can_be_written_is_usable(outbox: Outbox) -> None:
    found = ReadyCheck(outbox).readiness(WAIT_SECONDS)
    assert found.ready
    assert found.outbox is OutboxHealth.USABLE
    assert found.lanes_down == ()


def test_a_check_commits_and_leaves_nothing_behind(outbox: Outbox) -> None:
    outbox.check()
    with commits_of(outbox) as commits:
        outbox.check_durable()
    assert len(commits) == 1
    assert outbox.couriers() == ()


def test_a_lane_that_is_down_is_named_and_makes_no_difference(outbox: Outbox) -> None:
    outbox.pause_lane("bulk", outbox.clock() + 30, "it refuses connections")
    found = ReadyCheck(outbox).readiness(WAIT_SECONDS)
    assert found.ready
    assert found.lanes_down == ("bulk",)
    outbox.resume_lane("bulk")
    assert ReadyCheck(outbox).readiness(WAIT_SECONDS).lanes_down == ()


def test_tables_that_were_changed_after_the_first_use_are_noticed(
    outbox: Outbox,
) -> None:
    assert ReadyCheck(outbox).readiness(WAIT_SECONDS).ready
    with at_version(outbox, "0001"):
        found = ReadyCheck(outbox).readiness(WAIT_SECONDS)
    assert found.outbox is OutboxHealth.OTHER_SCHEMA
    assert not found.ready
    assert "flask outbox upgrade" in found.trouble
    assert ReadyCheck(outbox).readiness(WAIT_SECONDS).ready


@contextmanager
def at_version(outbox: Outbox, version: str) -> Iterator[None]:
    """Says that the tables are of this version; other tests use the database, too."""
    before = outbox.database.version()
    try:
        _set_version(outbox, version)
        yield
    finally:
        _set_version(outbox, before)


def _set_version(outbox: Outbox, version: str | None) -> None:
    change = text("UPDATE outbox_version SET version_num = :version")
    with outbox.database.engine.begin() as connection:
        connection.execute(change, {"version": version})


def test_one_check_answers_all_probes_of_a_second(outbox: Outbox, clock: Clock) -> None:
    check = ReadyCheck(outbox, clock)
    assert check.readiness(WAIT_SECONDS).lanes_down == ()
    outbox.pause_lane("bulk", outbox.clock() + 30, "it refuses connections")
    clock.now += FRESH_SECONDS
    assert check.readiness(WAIT_SECONDS).lanes_down == ()
    clock.now += 0.1
    assert check.readiness(WAIT_SECONDS).lanes_down == ("bulk",)


def test_probes_of_an_outbox_that_hangs_share_one_thread(database: Database) -> None:
    goes_on, ticks = threading.Event(), count(step=int(CHECK_SECONDS))

    def hang() -> float:
        assert goes_on.wait(WAIT_SECONDS)
        return 0.0

    def clock() -> float:
        return time.monotonic() if goes_on.is_set() else next(ticks)

    check = ReadyCheck(Outbox(database, hang), clock)
    with ThreadPoolExecutor(PROBES) as probes:
        answers = list(probes.map(lambda _: check.readiness(), range(PROBES)))
    at_work = [one for one in threading.enumerate() if one.name == "outbox-blocking"]
    goes_on.set()

    assert {one.outbox for one in answers} == {OutboxHealth.SILENT}
    assert database.shown in answers[0].trouble
    assert len(at_work) == 1
    eventually(lambda: check.readiness(WAIT_SECONDS).ready)


# ------------------------------------------------------------------------ the courier


@pytest.fixture
def thread(site: Site) -> Iterator[CourierThread]:
    """A courier that runs."""
    thread = CourierThread(site.runtime.context)
    thread.start()
    assert thread.wait_until_ready(WAIT_SECONDS)
    yield thread
    thread.stop()


def wait_for_loop(thread: CourierThread) -> None:
    """Return once the courier's event loop has called all that it was asked before."""
    called = threading.Event()
    assert thread.courier.ask(called.set)
    assert called.wait(WAIT_SECONDS)


def test_a_courier_whose_loop_answers_runs(thread: CourierThread, clock: Clock) -> None:
    watch = CourierWatch(clock)
    for _ in range(3):
        assert watch.look(thread) is CourierHealth.RUNNING
        wait_for_loop(thread)
        clock.now += 2 * STUCK_SECONDS


def test_a_courier_whose_loop_is_blocked_is_stuck_until_it_goes_on(
    thread: CourierThread, clock: Clock
) -> None:
    watch, goes_on = CourierWatch(clock), threading.Event()
    thread.courier.ask(lambda: goes_on.wait(WAIT_SECONDS))

    assert watch.look(thread) is CourierHealth.RUNNING
    clock.now += STUCK_SECONDS
    assert watch.look(thread) is CourierHealth.RUNNING
    clock.now += 1
    assert watch.look(thread) is CourierHealth.STUCK
    assert not CourierHealth.STUCK.well

    goes_on.set()
    wait_for_loop(thread)
    assert watch.look(thread) is CourierHealth.RUNNING


def test_a_courier_waits_for_its_database_and_is_not_stuck(
    site: Site, clock: Clock
) -> None:
    site.outbox.check()
    thread, watch = CourierThread(site.runtime.context), CourierWatch(clock)
    with locked(Path(site.outbox.database.url.database or "")):
        thread.start()
        eventually(lambda: thread.courier.ask(lambda: None))
        for _ in range(2):
            assert watch.look(thread) is CourierHealth.RUNNING
            wait_for_loop(thread)
            clock.now += 2 * STUCK_SECONDS
    thread.stop()


def test_a_courier_that_has_ended_is_not_well(
    thread: CourierThread, clock: Clock
) -> None:
    thread.stop()
    assert CourierWatch(clock).look(thread) is CourierHealth.ENDED
    assert not CourierHealth.ENDED.well
