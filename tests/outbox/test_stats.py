"""Statistics: written by each courier, read together, and kept small."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from flask_outbox.counters import Counters
from flask_outbox.outbox import Outbox, stats
from flask_outbox.outbox.schema import stats as stats_table
from flask_outbox.outbox.stats import CommonTrouble, Percentiles, Stats, stats_row

from .making import COURIER, OTHER_COURIER, Clock

NOON = 1_900_022_400
MINUTE, HOUR, DAY = 60, 3_600, 86_400
KEEP_ROWS = 90 * DAY


def tally(*waits: float, failed: int = 0, trouble: str | None = None) -> Counters:
    """What so many sent messages and failed ones come to."""
    made = Counters()
    made.ended.update(sent=len(waits), failed=failed)
    for seconds in waits:
        made.waits.add(seconds)
        made.durations.add(seconds / 2)
    if trouble:
        made.count_trouble(trouble, "01A", failed)
    return made


def write(
    outbox: Outbox, at: int, counted: Counters, courier: str = COURIER, lane: str = "a"
) -> None:
    outbox.write_stats([stats_row(at, courier, lane, counted)])


def read(
    outbox: Outbox, since: int, until: int, buckets: int = 1, **which: Any
) -> Stats:
    since_at, until_at = (datetime.fromtimestamp(at, UTC) for at in (since, until))
    return outbox.stats(since_at, until_at, buckets, **which)


def rows(outbox: Outbox) -> int:
    """How many rows there are, but for those of the totals."""
    those = select(func.count()).where(stats_table.c.at > stats.EVER)
    with outbox.database.reading() as connection:
        return connection.scalar(those) or 0


def test_without_couriers_the_statistics_are_empty(outbox: Outbox) -> None:
    found = read(outbox, NOON, NOON + HOUR, 60)

    assert found.seconds == 60
    assert len(found.buckets) == 60
    assert found.buckets[1].at == datetime.fromtimestamp(NOON + 60, UTC)
    assert found.whole.sent == 0
    assert found.whole.waits == Percentiles(None, None, None)
    assert found.troubles == ()


def test_statistics_of_all_couriers_are_read_together(outbox: Outbox) -> None:
    write(outbox, NOON, tally(0.2, 0.2))
    write(outbox, NOON, tally(20.0), OTHER_COURIER)
    write(outbox, NOON + MINUTE, tally(failed=3), lane="b")
    write(outbox, NOON + HOUR, tally(0.2))

    found = read(outbox, NOON, NOON + HOUR, 60)

    assert [one.sent for one in found.buckets[:3]] == [3, 0, 0]
    assert [one.failed for one in found.buckets[:3]] == [0, 3, 0]
    assert found.buckets[0].waits == Percentiles(0.25, 30.0, 30.0)
    assert found.buckets[0].durations == Percentiles(0.1, 10.0, 10.0)
    assert (found.whole.sent, found.whole.failed) == (3, 3)
    assert read(outbox, NOON, NOON + HOUR, lane="b").whole.sent == 0


def test_a_growing_minute_is_not_counted_twice(outbox: Outbox) -> None:
    write(outbox, NOON, tally(0.2))
    write(outbox, NOON, tally(0.2, 0.2))
    write(outbox, NOON, tally(0.2, 0.2))

    assert read(outbox, NOON, NOON + MINUTE).whole.sent == 2


def test_the_commonest_troubles_come_first(outbox: Outbox) -> None:
    write(outbox, NOON, tally(failed=2, trouble="550 größer"))
    write(outbox, NOON + MINUTE, tally(failed=3, trouble="450 busy"))
    write(outbox, NOON + MINUTE, tally(failed=4, trouble="550 größer"), OTHER_COURIER)

    found = read(outbox, NOON, NOON + HOUR)

    assert found.troubles == (
        CommonTrouble("550 größer", 6, "01A"),
        CommonTrouble("450 busy", 3, "01A"),
    )


# ------------------------------------------------------------------------ keeping small


def test_couriers_counts_are_merged_after_their_minute(
    outbox: Outbox, clock: Clock
) -> None:
    clock.now = NOON
    for courier in (COURIER, OTHER_COURIER):
        for minute in range(3):
            write(outbox, NOON + minute * MINUTE, tally(0.2, failed=1, trouble="550"))
            write(outbox, NOON + minute * MINUTE, tally(9.0), courier, lane="b")
    before = read(outbox, NOON, NOON + HOUR, 60)
    clock.now = NOON + 11 * MINUTE + 1

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    assert rows(outbox) == 2 * 2 + 1 + 2
    assert read(outbox, NOON, NOON + HOUR, 60) == before
    outbox.prune(KEEP_ROWS, KEEP_ROWS)
    assert read(outbox, NOON, NOON + HOUR, 60) == before


def test_minutes_are_merged_after_their_day(outbox: Outbox, clock: Clock) -> None:
    for minute in range(130):
        write(outbox, NOON + minute * MINUTE, tally(0.2))
    clock.now = NOON + DAY + 2 * HOUR + 30 * MINUTE

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    assert rows(outbox) == 2 + 10
    found = read(outbox, NOON, NOON + 3 * HOUR, 3)
    assert [one.sent for one in found.buckets] == [60, 60, 10]


def test_statistics_are_kept_as_long_as_rows_are(outbox: Outbox, clock: Clock) -> None:
    write(outbox, NOON, tally(0.2))
    clock.now = NOON + HOUR + KEEP_ROWS

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    assert rows(outbox) == 0


def test_merging_goes_in_steps(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "STATS_LIMIT", 7)
    for minute in range(60):
        write(outbox, NOON + minute * MINUTE, tally(0.2))
    clock.now = NOON + 3 * DAY

    outbox.prune(KEEP_ROWS, KEEP_ROWS)

    assert rows(outbox) == 1
    assert read(outbox, NOON, NOON + HOUR).whole.sent == 60


def test_two_processes_can_merge_at_the_same_time(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    for minute in range(60):
        write(outbox, NOON + minute * MINUTE, tally(0.2))
    clock.now = NOON + 3 * DAY

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: one.prune(KEEP_ROWS, KEEP_ROWS), (outbox, other)))

    assert read(outbox, NOON, NOON + HOUR).whole.sent == 60
