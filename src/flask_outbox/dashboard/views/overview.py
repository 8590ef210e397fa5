"""The overview: counts, lanes and couriers, and the last hours as small pictures.

A picture is `WIDTH` by `HEIGHT` units, and drawn as wide as there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import request

from ...humanize import MINUTE, counted, duration
from ...outbox import Bucket, Stats
from ...status import lane_statuses
from ..pages import dashboard, needs, page, runtime
from ..roles import Role

WIDTH, HEIGHT = 300, 72


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a plot."""

    name: str
    path: str
    """The ``d`` of an SVG path."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot: its curves, and what is written on it."""

    title: str
    words: str
    """What it shows, in words."""
    top: str
    """The value at its upper edge."""
    curves: tuple[Curve, ...]
    lines: bool
    """Whether its curves are lines; otherwise they are bars."""


def plots(pulse: Stats) -> tuple[Plot, ...]:
    """How much was sent, how long it took, and how much failed."""
    return (_sent_plot(pulse), _waiting_plot(pulse), _troubles(pulse))


def _sent_plot(pulse: Stats) -> Plot:
    counts = [bucket.sent for bucket in pulse.buckets]
    top = max(counts, default=0)
    words = f"{counted(pulse.whole.sent, 'message')} sent"
    if top:
        words += f", at most {top:,} in {_bucket_length(pulse.seconds)}"
    curve = Curve("sent", _bars(counts, [0] * len(counts), top))
    return Plot("Sent", words, f"{top:,}", (curve,), lines=False)


def _waiting_plot(pulse: Stats) -> Plot:
    buckets = pulse.buckets
    p50 = [bucket.waits.p50 for bucket in buckets]
    p95 = [bucket.waits.p95 for bucket in buckets]
    top = max((one for one in [*p50, *p95] if one not in (None, _INFINITE)), default=0)
    whole = pulse.whole.waits
    words = "nothing was sent"
    if whole.p50 is not None and whole.p95 is not None:
        words = f"half {_within(whole.p50)}, 95% {_within(whole.p95)}"
    curves = (Curve("half", _line(p50, top)), Curve("95%", _line(p95, top)))
    return Plot("From due to sent", words, duration(top or 0), curves, lines=True)


_INFINITE = float("inf")

_WRONG: tuple[tuple[str, Callable[[Bucket], int]], ...] = (
    ("failed", lambda bucket: bucket.failed),
    ("deferred", lambda bucket: bucket.deferred),
    ("unknown", lambda bucket: bucket.unknown),
)


def _troubles(pulse: Stats) -> Plot:
    """Stacked bars, with the failures at the bottom."""
    below = [0] * len(pulse.buckets)
    stacks = []
    for name, count in _WRONG:
        above = [
            low + count(bucket)
            for low, bucket in zip(below, pulse.buckets, strict=True)
        ]
        stacks.append((name, above, below))
        below = above
    top = max(below, default=0)
    curves = tuple(Curve(name, _bars(above, low, top)) for name, above, low in stacks)
    words = ", ".join(f"{count(pulse.whole):,} {name}" for name, count in _WRONG)
    return Plot("Trouble", words, f"{top:,}", curves, lines=False)


def _bucket_length(seconds: float) -> str:
    if seconds == MINUTE:
        return "a minute"
    return duration(seconds)


def _within(seconds: float) -> str:
    if seconds == _INFINITE:
        return "in more than the longest measured time"
    return f"within {duration(seconds)}"


def _bars(above: Sequence[int], below: Sequence[int], top: float) -> str:
    """A bar for each bucket, from ``below`` to ``above``."""
    step = WIDTH / max(len(above), 1)
    parts = [
        f"M{index * step:.1f} {_height(low, top):.1f}"
        f"V{_height(high, top):.1f}h{step * 0.8:.1f}V{_height(low, top):.1f}z"
        for index, (high, low) in enumerate(zip(above, below, strict=True))
        if high > low
    ]
    return "".join(parts)


def _line(values: Iterable[float | None], top: float) -> str:
    """A line through the values, with a gap for each None."""
    values = list(values)
    step = WIDTH / max(len(values), 1)
    parts = []
    for index, value in enumerate(values):
        if value is None:
            continue
        gap = index == 0 or values[index - 1] is None
        x, y = index * step, _height(value, top)
        parts.append(f"{'M' if gap else 'L'}{x:.1f} {y:.1f}h{step * 0.8:.1f}")
    return "".join(parts)


def _height(value: float, top: float) -> float:
    return HEIGHT * (1 - min(value, top) / top) if top else HEIGHT


SPANS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
"""How far back the plots go."""

BUCKETS: Mapping[str, int] = {"hour": 60, "day": 96, "week": 84}
"""How many buckets they have: of a minute, a quarter of an hour, two hours."""


@dashboard.get("/")
@needs(Role.READ)
def overview() -> str:
    """Counts by state, the lanes, the couriers and the plots."""
    here = runtime()
    seen = here.outbox.change_marker()
    glance = here.outbox.overview()
    now = datetime.fromtimestamp(here.outbox.clock(), UTC)
    span = request.args.get("span", "")
    span = span if span in SPANS else "hour"
    pulse = here.outbox.stats(now - SPANS[span], now, BUCKETS[span])
    return page(
        "overview.html",
        seen=seen,
        glance=glance,
        fates_since=f"{now - SPANS['day']:%Y-%m-%dT%H:%M}",
        lanes=lane_statuses(
            here.settings, glance.lanes, resolves=here.resolves_transports
        ),
        pulse=pulse,
        plots=plots(pulse),
        span=span,
        spans=list(SPANS),
        engine=here.settings.engine,
        now=now,
    )
