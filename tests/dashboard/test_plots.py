"""The plots, from a pulse to what is drawn and said."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_outbox.dashboard.views.overview import HEIGHT, WIDTH, plots
from flask_outbox.outbox.stats import Bucket, Percentiles, Stats

NOW = datetime(2026, 2, 14, 9, 30, tzinfo=UTC)
NONE = Percentiles(None, None, None)


def bucket(sent: int = 0, failed: int = 0, waits: Percentiles = NONE) -> Bucket:
    return Bucket(NOW, sent, 0, failed, 0, 0, waits, NONE)


def pulse(*buckets: Bucket, whole: Bucket | None = None) -> Stats:
    return Stats(60.0, buckets, whole or buckets[0], ())


def test_an_idle_outbox_has_empty_plots_that_say_so() -> None:
    sent, waits, trouble = plots(pulse(bucket(), bucket()))
    assert sent.words == "0 messages sent"
    assert waits.words == "nothing was sent"
    assert trouble.words == "0 failed, 0 deferred, 0 unknown"
    assert not any(one.path for plot in (sent, waits, trouble) for one in plot.curves)


def test_the_highest_bar_reaches_the_top() -> None:
    whole = bucket(sent=12)
    (sent, *_) = plots(pulse(bucket(sent=4), bucket(), bucket(sent=8), whole=whole))
    step = WIDTH / 3
    assert sent.curves[0].path == (
        f"M0.0 {HEIGHT:.1f}V{HEIGHT / 2:.1f}h{step * 0.8:.1f}V{HEIGHT:.1f}z"
        f"M{2 * step:.1f} {HEIGHT:.1f}V0.0h{step * 0.8:.1f}V{HEIGHT:.1f}z"
    )
    assert sent.words == "12 messages sent, at most 8 in a minute"
    assert sent.top == "8"


def test_failed_deferred_and_unknown_are_stacked() -> None:
    both = Bucket(NOW, 0, 3, 1, 0, 0, NONE, NONE)
    trouble = plots(pulse(both))[2]
    failed, deferred, unknown = trouble.curves
    border = f"{HEIGHT * 3 / 4:.1f}"
    assert failed.path.startswith(f"M0.0 {HEIGHT:.1f}V{border}")
    assert deferred.path.startswith(f"M0.0 {border}V0.0")
    assert unknown.path == ""
    assert trouble.words == "1 failed, 3 deferred, 0 unknown"


def test_a_line_has_gaps_without_mail_and_stays_inside_the_plot() -> None:
    quick = Percentiles(0.5, 1.0, 1.0)
    endless = Percentiles(1.0, float("inf"), float("inf"))
    waits = plots(pulse(bucket(waits=quick), bucket(), bucket(waits=endless)))[1]
    half, most = waits.curves
    assert half.path.count("M") == 2
    assert most.path == "M0.0 0.0h80.0M200.0 0.0h80.0"
    assert waits.top == "1.0 s"
    whole = plots(pulse(bucket(waits=endless)))[1]
    assert whole.words == (
        "half within 1.0 s, 95% in more than the longest measured time"
    )
