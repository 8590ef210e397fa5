"""The plots, from statistics to what is drawn, said and tabulated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flask_outbox.counters import Counters
from flask_outbox.dashboard.plots import (
    HEIGHT,
    SPANS,
    WIDTH,
    Plot,
    plots,
    table,
    time_ticks,
)
from flask_outbox.outbox.stats import Bucket, Percentiles, Stats, stats_row
from tests.dashboard.shop import Shop

NOW = datetime(2026, 2, 14, 9, 30, tzinfo=UTC)
HOUR = SPANS["hour"]
NONE = Percentiles(None, None, None)


def bucket(sent: int = 0, failed: int = 0, waits: Percentiles = NONE) -> Bucket:
    return Bucket(NOW, sent, 0, failed, 0, 0, waits, NONE)


def stats(*buckets: Bucket, whole: Bucket | None = None) -> Stats:
    return Stats(60.0, buckets, whole or buckets[0], ())


def drawn(*buckets: Bucket, whole: Bucket | None = None) -> tuple[Plot, ...]:
    return plots(stats(*buckets, whole=whole), HOUR)


def axis(plot: Plot) -> list[str]:
    return [tick.text for tick in plot.ticks]


def test_an_idle_outbox_has_empty_plots_that_say_so() -> None:
    sent, waits, trouble = drawn(bucket(), bucket())
    assert sent.words == "0 messages sent"
    assert waits.words == "nothing was sent"
    assert trouble.words == "0 failed, 0 deferred, 0 unknown"
    for plot in (sent, waits, trouble):
        assert not any(curve.path for curve in plot.curves)
        assert not plot.columns


def test_bars_are_as_high_as_the_axis_says() -> None:
    whole = bucket(sent=12)
    (sent, *_) = drawn(bucket(sent=4), bucket(), bucket(sent=8), whole=whole)
    step = WIDTH / 3
    assert sent.curves[0].path == (
        f"M0.0 {HEIGHT:.1f}V{HEIGHT / 2:.1f}h{step * 0.8:.1f}V{HEIGHT:.1f}z"
        f"M{2 * step:.1f} {HEIGHT:.1f}V0.0h{step * 0.8:.1f}V{HEIGHT:.1f}z"
    )
    assert sent.words == "12 messages sent, at most 8 per minute"
    assert sent.unit == "messages per minute"
    assert axis(sent) == ["0", "4", "8"]
    assert [one.words for one in sent.columns] == ["4 sent", "8 sent"]
    assert [one.x for one in sent.columns] == [0, 200]


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (1, ["0", "1"]),
        (3, ["0", "2", "4"]),
        (10, ["0", "5", "10"]),
        (254, ["0", "200", "400"]),
        (9_876, ["0", "5,000", "10,000"]),
    ],
)
def test_the_axis_ends_at_a_round_number(most: int, labels: list[str]) -> None:
    assert axis(drawn(bucket(sent=most))[0]) == labels


@pytest.mark.parametrize(
    ("longest", "labels"),
    [
        (0.025, ["0", "20 ms", "40 ms"]),
        (2.5, ["0", "2 s", "4 s"]),
        (60.0, ["0", "30 s", "1 min"]),
        (1_800.0, ["0", "30 min", "1 h"]),
        (7_200.0, ["0", "1 h", "2 h"]),
    ],
)
def test_the_axis_of_durations_has_a_unit(longest: float, labels: list[str]) -> None:
    waits = Percentiles(longest, longest, longest)
    assert axis(drawn(bucket(sent=1, waits=waits))[1]) == labels


def test_failed_deferred_and_unknown_are_stacked() -> None:
    trouble = drawn(Bucket(NOW, 0, 3, 1, 0, 0, NONE, NONE))[2]
    failed, deferred, unknown = trouble.curves
    border = f"{HEIGHT * 3 / 4:.1f}"
    assert failed.path.startswith(f"M0.0 {HEIGHT:.1f}V{border}")
    assert deferred.path.startswith(f"M0.0 {border}V0.0")
    assert unknown.path == ""
    assert trouble.words == "1 failed, 3 deferred, 0 unknown"
    assert trouble.columns[0].words == "1 failed, 3 deferred"


def test_a_line_has_gaps_without_mail_and_stays_inside_the_plot() -> None:
    quick = Percentiles(0.5, 1.0, 1.0)
    endless = Percentiles(1.0, float("inf"), float("inf"))
    waits = drawn(bucket(waits=quick), bucket(), bucket(waits=endless))[1]
    median, most = waits.curves
    assert median.path.count("M") == 2
    assert most.path == "M0.0 0.0h80.0M200.0 0.0h80.0"
    assert waits.columns[0].words == "median within 500.0 ms, 95% within 1.0 s"
    whole = drawn(bucket(waits=endless))[1]
    assert whole.words == (
        "median within 1.0 s, 95% in more than the longest measured time"
    )


@pytest.mark.parametrize(
    ("name", "since", "marks"),
    [
        ("hour", "02-14 08:31", ["08:45", "09:00", "09:15", "09:30"]),
        ("day", "02-13 09:45", ["12:00", "18:00", "00:00", "06:00"]),
        ("week", "02-07 10:00", ["Sun 00:00", "Tue 00:00", "Thu 00:00", "Sat 00:00"]),
    ],
)
def test_times_are_round_however_far_back_it_goes(
    name: str, since: str, marks: list[str]
) -> None:
    span = SPANS[name]
    now = NOW + timedelta(seconds=17)
    begins = span.since(now)
    assert f"{begins:%m-%d %H:%M}" == since
    whole = Bucket(begins, 0, 0, 0, 0, 0, NONE, NONE)
    ticks = time_ticks(stats(whole), span)
    assert [tick.text for tick in ticks] == marks
    assert span.until(now) - begins == timedelta(seconds=span.seconds)
    for tick in ticks:
        assert tick.at
        share = (tick.at - begins).total_seconds() / span.seconds
        assert tick.percent == pytest.approx(100 * share, abs=0.06)


def test_the_table_has_the_plots_numbers() -> None:
    quick = Percentiles(0.5, 1.0, 1.0)
    busy = Bucket(NOW + timedelta(minutes=1), 7, 3, 1, 2, 0, quick, NONE)
    (row,) = table(stats(bucket(), busy))
    assert (row.sent, row.failed, row.deferred, row.unknown) == (7, 1, 3, 2)
    assert (row.median, row.p95) == ("within 500.0 ms", "within 1.0 s")
    assert row.until - row.at == timedelta(minutes=1)


def test_the_time_range_stands_in_the_address(shop: Shop) -> None:
    shop.outbox.clock = NOW.timestamp
    tally = Counters()
    tally.ended.update(sent=3)
    for hours in (0, 2, 48):
        at = int(NOW.timestamp()) - hours * 3_600
        shop.outbox.write_stats([stats_row(at, "", "default", tally)])
    assert "3 messages sent, at most 3 per minute" in shop.page("/")
    assert "6 messages sent" in shop.page("/?span=day")
    assert "9 messages sent" in shop.page("/?span=week")
    assert "The last hour" in shop.page("/?span=nonsense")


def test_a_time_without_attempts_says_so(shop: Shop) -> None:
    assert 'href="/outbox/?span=week">last week' in shop.page("/")
    assert "<svg" not in shop.page("/")
