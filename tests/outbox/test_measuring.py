"""Measurements for monitoring: exact, and totals that only grow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from flask_outbox.counters import Counters
from flask_outbox.delivery import State
from flask_outbox.events import EventKind
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.outbox import (
    MessageActions,
    Outbox,
    measuring,
    new_suppression,
    stats,
)
from flask_outbox.outbox.backlog import Waiting
from flask_outbox.outbox.schema import feedback

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    OTHER_COURIER,
    Clock,
    claim_one,
    enlist,
    failed,
    put,
    sent,
    unknown,
)

MINUTE, HOUR, DAY = 60, 3_600, 86_400
KEEP_ROWS = 90 * DAY


def test_an_empty_outbox(outbox: Outbox) -> None:
    found = outbox.measure(["default"])

    assert not any(found.backlog.states.values())
    assert found.backlog.lanes == {}
    assert found.paused == {}
    assert found.attempts.ended.total() == 0
    assert found.attempts_by_lane.keys() == {"default"}
    assert found.reports == dict.fromkeys(Fate, 0)


def test_messages_that_wait_are_counted_by_state_and_lane(
    outbox: Outbox, clock: Clock
) -> None:
    for end in (sent, failed, unknown):
        put(outbox)
        outbox.record([end(claim_one(outbox), clock.now)])
    outbox.act(MessageActions.cancel, put(outbox))
    put(outbox, owner=enlist(outbox))
    put(outbox, due_at=clock.now - 7)
    put(outbox, due_at=clock.now, priority=3)
    put(outbox, due_at=clock.now + 60)
    put(outbox, lane="bulk", due_at=clock.now + 60)
    outbox.pause_lane_by_operator("bulk", "full")

    found = outbox.measure()

    assert found.backlog.states == {
        State.PENDING: 4,
        State.LEASED: 1,
        State.PAUSED: 0,
        State.MOVING: 0,
        State.UNKNOWN: 1,
    }
    assert found.backlog.lanes == {
        "default": Waiting(2, 1, clock.now - 7),
        "bulk": Waiting(0, 1, None),
    }
    assert found.paused == {"bulk": "person"}
    assert found.couriers == {"thread": 1}


def test_suppressions_are_counted_by_source(outbox: Outbox, clock: Clock) -> None:
    given = ((ADA, "person"), (BOB, "person"), (CY, "api"))
    outbox.suppress_all(
        [
            new_suppression(address, "", "no", source, clock.now)
            for address, source in given
        ]
    )

    assert outbox.measure().suppressions == {"person": 2, "api": 1}


# ------------------------------------------------------------------- totals of attempts


def write(outbox: Outbox, at: int, courier: str, lane: str, sent: int) -> None:
    counted = Counters()
    counted.ended.update({EventKind.SENT: sent, EventKind.FAILED: 1})
    for _ in range(sent):
        counted.waits.add(0.2)
        counted.durations.add(3.0)
    counted.count_trouble("550 no", "01A")
    outbox.write_stats([stats.stats_row(at, courier, lane, counted)])


def totals(outbox: Outbox) -> dict[str, tuple[int, int, int, float]]:
    """Of all lanes and of two: sent, failed, waits counted, and their seconds."""
    found = outbox.measure(["a", "b"])
    return {
        lane: (
            one.ended[EventKind.SENT],
            one.ended[EventKind.FAILED],
            sum(one.waits.counts()),
            round(one.waits.seconds, 3),
        )
        for lane, one in {"": found.attempts, **found.attempts_by_lane}.items()
    }


def test_totals_stay_while_rows_are_merged_and_pruned(
    outbox: Outbox, clock: Clock
) -> None:
    start = int(clock.now) // DAY * DAY
    for minute in range(130):
        write(outbox, start + minute * MINUTE, COURIER, "a", 2)
        write(outbox, start + minute * MINUTE, OTHER_COURIER, "b", 1)
        write(outbox, start + minute * MINUTE, COURIER, "c", 1)
    wanted = {
        "": (520, 390, 520, 104.0),
        "a": (260, 130, 260, 52.0),
        "b": (130, 130, 130, 26.0),
    }
    assert totals(outbox) == wanted

    for later in (HOUR, 2 * HOUR, 4 * HOUR, 2 * DAY, KEEP_ROWS + 3 * DAY):
        clock.now = start + later
        outbox.prune(KEEP_ROWS, KEEP_ROWS)
        assert totals(outbox) == wanted

    write(outbox, int(clock.now), COURIER, "a", 1)
    assert totals(outbox)[""] == (521, 391, 521, 104.2)


def test_what_nobody_merged_in_time_is_counted_before_it_is_pruned(
    outbox: Outbox, clock: Clock
) -> None:
    write(outbox, int(clock.now), COURIER, "a", 2)
    clock.advance(2 * KEEP_ROWS)

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    assert totals(outbox)["a"] == (2, 1, 2, 0.4)


def test_totals_are_no_part_of_statistics(outbox: Outbox, clock: Clock) -> None:
    write(outbox, int(clock.now), COURIER, "a", 2)
    clock.advance(HOUR)
    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    since = datetime.fromtimestamp(0, UTC)
    found = outbox.stats(since, datetime.fromtimestamp(clock.now, UTC), buckets=1)

    assert found.whole.sent == 2
    assert [one.count for one in found.troubles] == [1]


def test_two_processes_add_to_the_totals_at_once(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    start = int(clock.now)
    for minute in range(60):
        for lane in ("b", "a", "c"):
            write(outbox, start + minute * MINUTE, COURIER, lane, 1)
            write(outbox, start + minute * MINUTE, OTHER_COURIER, lane, 1)
    clock.advance(3 * HOUR)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: one.prune(KEEP_ROWS, KEEP_ROWS), (outbox, other)))

    assert totals(outbox)[""][:3] == (360, 360, 360)
    assert totals(outbox)["a"][:3] == (120, 120, 120)


def test_a_total_begins_again_before_its_column_is_full(
    outbox: Outbox, clock: Clock
) -> None:
    large = Counters()
    large.ended[EventKind.SENT] = stats.TOTALS_WRAP - 1
    for _ in range(2):
        row = stats.stats_row(int(clock.now), COURIER, "a", large)
        outbox.write_stats([row])
        clock.advance(HOUR)
        outbox.prune(KEEP_ROWS, KEEP_ROWS)
        large.ended[EventKind.SENT] = 8

    assert totals(outbox)["a"][0] == 7


# -------------------------------------------------------------------- totals of reports


def receive(outbox: Outbox, fate: Fate, number: int) -> None:
    at = datetime.fromtimestamp(outbox.clock(), UTC)
    outbox.take_feedback(
        [
            Feedback(
                fate,
                source="postmark",
                event_id=f"{fate}-{at}-{one}",
                address=ADA,
                at=at,
            )
            for one in range(number)
        ]
    )


def test_reports_are_counted_once_and_stay_counted(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "COUNTED_AT_ONCE", 4)
    wanted = dict.fromkeys(Fate, 0)
    for fate, number in ((Fate.DELIVERED, 9), (Fate.BOUNCED, 2), (Fate.DELIVERED, 1)):
        receive(outbox, fate, number)
        wanted[fate] += number
        assert outbox.measure().reports == wanted
        clock.advance(HOUR)
        outbox.prune(KEEP_ROWS, KEEP_ROWS)
        assert outbox.measure().reports == wanted
    clock.advance(2 * KEEP_ROWS)

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    with outbox.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(feedback)) == 0
    assert outbox.measure().reports == wanted


def test_two_processes_count_reports_at_once(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    receive(outbox, Fate.BOUNCED, 50)
    clock.advance(HOUR)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: one.prune(KEEP_ROWS, KEEP_ROWS), (outbox, other)))

    assert outbox.measure().reports[Fate.BOUNCED] == 50
