"""Plots of statistics: what is drawn, what stands at the axes, and the same as a table.

A plot is `WIDTH` by `HEIGHT` units, and is stretched to as much room as there is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor, inf, log10

from ..humanize import DAY, HOUR, MINUTE, duration
from ..outbox import Bucket, Stats
from ..phrases import Phrase, joined, phrase, plural, term
from .terms import WEEKDAYS

WIDTH, HEIGHT = 300, 100

NOTHING: Phrase = joined()
"""What is said where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far back the plots go, and what they count together."""

    name: str
    """As in the address."""
    words: Phrase
    last: Phrase
    """Its title."""
    seconds: int
    bucket_seconds: int
    tick_seconds: int
    """How far apart the marks of the time axis are."""
    with_weekdays: bool = False
    """Whether the marks name the days."""

    def until(self, now: datetime) -> datetime:
        """The end of the bucket that ``now`` is in: each begins at a round time."""
        number = now.timestamp() // self.bucket_seconds + 1
        return datetime.fromtimestamp(number * self.bucket_seconds, UTC)

    def since(self, now: datetime) -> datetime:
        """The beginning of the first bucket."""
        return self.until(now) - timedelta(seconds=self.seconds)

    @property
    def buckets(self) -> int:
        """How many there are."""
        return self.seconds // self.bucket_seconds

    @property
    def bucket_words(self) -> Phrase:
        """The length of a bucket, after "per": ``minute``, ``15 minutes``."""
        return _BUCKET_WORDS[self.bucket_seconds]


_BUCKET_WORDS = {
    MINUTE: phrase("minute"),
    15 * MINUTE: phrase("15 minutes"),
    2 * HOUR: phrase("2 hours"),
}

SPANS: Mapping[str, Span] = {
    one.name: one
    for one in (
        Span(
            "hour",
            term("time range", "hour"),
            phrase("The last hour"),
            HOUR,
            MINUTE,
            15 * MINUTE,
        ),
        Span(
            "day",
            term("time range", "day"),
            phrase("The last day"),
            DAY,
            15 * MINUTE,
            6 * HOUR,
        ),
        Span(
            "week",
            term("time range", "week"),
            phrase("The last week"),
            7 * DAY,
            2 * HOUR,
            2 * DAY,
            with_weekdays=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a plot."""

    name: str
    words: Phrase
    path: str
    """The ``d`` of an SVG path."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis."""

    position: float
    """In units of the plot, from the left or from the top."""
    percent: float
    """The same, in percent."""
    text: str | Phrase
    at: datetime | None = None
    """The time that it marks, at the time axis."""


@dataclass(frozen=True, slots=True)
class Column:
    """The part of a plot that belongs to one bucket, and its values in words."""

    x: float
    width: float
    at: datetime
    words: Phrase

    @property
    def title(self) -> Phrase:
        """When that was, in UTC, and the words."""
        return phrase(
            "%(when)s UTC: %(words)s", when=_day_and_time(self.at), words=self.words
        )


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot: its curves, its value axis, and what is written on it."""

    title: Phrase
    unit: Phrase
    """What the value axis counts."""
    words: Phrase
    """What the plot shows, in words."""
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    """The value axis, from the bottom to the top."""
    columns: tuple[Column, ...]
    """Those with a value."""
    lines: bool
    """Whether its curves are lines; otherwise they are bars."""


def plots(stats: Stats, span: Span) -> tuple[Plot, ...]:
    """How much was sent, how long it took, and how much failed."""
    return (_sent_plot(stats, span), _waits_plot(stats), _trouble_plot(stats, span))


def time_ticks(stats: Stats, span: Span) -> tuple[Tick, ...]:
    """The time axis, in UTC."""
    since = stats.whole.at.timestamp()
    first = ceil(since / span.tick_seconds) * span.tick_seconds
    return tuple(
        _time_tick(datetime.fromtimestamp(at, UTC), (at - since) / span.seconds, span)
        for at in range(first, floor(since + span.seconds) + 1, span.tick_seconds)
    )


def _time_tick(at: datetime, share: float, span: Span) -> Tick:
    text = _day_and_time(at) if span.with_weekdays else f"{at:%H:%M}"
    return Tick(round(share * WIDTH, 1), round(share * 100, 1), text, at)


def _day_and_time(at: datetime) -> Phrase:
    return joined(WEEKDAYS[at.weekday()], f"{at:%H:%M}", by=" ")


@dataclass(frozen=True, slots=True)
class Row:
    """One bucket in the table: the same as in the plots, in numbers."""

    at: datetime
    until: datetime
    sent: int
    median: Phrase
    p95: Phrase
    failed: int
    deferred: int
    unknown: int


def table(stats: Stats) -> tuple[Row, ...]:
    """The buckets in which an attempt ended, the newest first."""
    length = timedelta(seconds=stats.seconds)
    return tuple(
        Row(
            one.at,
            one.at + length,
            one.sent,
            _within(one.waits.p50),
            _within(one.waits.p95),
            one.failed,
            one.deferred,
            one.unknown,
        )
        for one in reversed(stats.buckets)
        if one.sent or _wrong(one)
    )


# ---------------------------------------------------------------------------- the plots


def _sent_plot(stats: Stats, span: Span) -> Plot:
    counts = [bucket.sent for bucket in stats.buckets]
    most = max(counts, default=0)
    words = plural(
        stats.whole.sent, "%(number)s message sent", "%(number)s messages sent"
    )
    if most:
        words = phrase(
            "%(sent)s, at most %(most)s per %(bucket)s",
            sent=words,
            most=most,
            bucket=span.bucket_words,
        )
    top = _round_count(most)
    return Plot(
        phrase("Sent"),
        phrase("messages per %(bucket)s", bucket=span.bucket_words),
        words,
        (Curve("sent", phrase("sent"), _bars(counts, [0] * len(counts), top)),),
        _value_ticks(top, _count_text),
        _columns(stats, _sent_words),
        lines=False,
    )


def _sent_words(bucket: Bucket) -> Phrase:
    return phrase("%(number)s sent", number=bucket.sent) if bucket.sent else NOTHING


def _waits_plot(stats: Stats) -> Plot:
    p50 = [bucket.waits.p50 for bucket in stats.buckets]
    p95 = [bucket.waits.p95 for bucket in stats.buckets]
    longest = max((one for one in p95 if one not in (None, inf)), default=None)
    top = _round_seconds(longest or 0)
    words = phrase("nothing was sent")
    if stats.whole.waits.p50 is not None:
        words = _waits_words(stats.whole)
    return Plot(
        phrase("From due to sent"),
        phrase("time a message waited"),
        words,
        (
            Curve("median", phrase("median"), _line(p50, top)),
            Curve("95%", phrase("95%%"), _line(p95, top)),
        ),
        _value_ticks(top, _seconds_text),
        _columns(stats, _waits_words),
        lines=True,
    )


def _waits_words(bucket: Bucket) -> Phrase:
    if bucket.waits.p50 is None:
        return NOTHING
    return phrase(
        "median %(median)s, 95%% %(most)s",
        median=_within(bucket.waits.p50),
        most=_within(bucket.waits.p95),
    )


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One way in which attempts end badly."""

    name: str
    words: Phrase
    count: Callable[[Bucket], int]
    counted: Callable[[int], Phrase]


_WRONG = (
    _Trouble(
        "failed",
        term("attempts", "failed"),
        lambda bucket: bucket.failed,
        lambda number: phrase("%(number)s failed", number=number),
    ),
    _Trouble(
        "deferred",
        term("attempts", "deferred"),
        lambda bucket: bucket.deferred,
        lambda number: phrase("%(number)s deferred", number=number),
    ),
    _Trouble(
        "unknown",
        term("attempts", "unknown"),
        lambda bucket: bucket.unknown,
        lambda number: phrase("%(number)s unknown", number=number),
    ),
)


def _wrong(bucket: Bucket) -> Phrase:
    """What went wrong in it, in words."""
    counts = [(one, one.count(bucket)) for one in _WRONG]
    return joined(*(one.counted(number) for one, number in counts if number))


def _trouble_plot(stats: Stats, span: Span) -> Plot:
    """Stacked bars, with the failures at the bottom."""
    below = [0] * len(stats.buckets)
    stacks = []
    for one in _WRONG:
        above = [
            low + one.count(bucket)
            for low, bucket in zip(below, stats.buckets, strict=True)
        ]
        stacks.append((one, above, below))
        below = above
    top = _round_count(max(below, default=0))
    return Plot(
        phrase("Trouble"),
        phrase("attempts per %(bucket)s", bucket=span.bucket_words),
        joined(*(one.counted(one.count(stats.whole)) for one in _WRONG)),
        tuple(
            Curve(one.name, one.words, _bars(above, low, top))
            for one, above, low in stacks
        ),
        _value_ticks(top, _count_text),
        _columns(stats, _wrong),
        lines=False,
    )


def _within(seconds: float | None) -> Phrase:
    if seconds is None:
        return NOTHING
    if seconds == inf:
        return phrase("in more than the longest measured time")
    return phrase("within %(time)s", time=duration(seconds))


def _columns(stats: Stats, words: Callable[[Bucket], Phrase]) -> tuple[Column, ...]:
    step = WIDTH / len(stats.buckets)
    return tuple(
        Column(round(index * step, 1), round(step, 1), bucket.at, text)
        for index, bucket in enumerate(stats.buckets)
        if (text := words(bucket))
    )


# ----------------------------------------------------------------------- the value axis

_COUNT_TOPS = (1, 2, 4, 6, 8, 10)

_SECONDS_TOPS = (
    0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.6, 1, 2, 4, 6, 10, 20, 40,
    MINUTE, 2 * MINUTE, 4 * MINUTE, 6 * MINUTE, 10 * MINUTE, 20 * MINUTE,
    HOUR, 2 * HOUR,
)  # fmt: skip
"""The last one is the longest measured time."""


def _round_count(most: int) -> float:
    """The end of an axis for counts, whose half is a whole number, too."""
    if most <= 1:
        return 1
    unit: int = 10 ** floor(log10(most))
    return unit * next(top for top in _COUNT_TOPS if top * unit >= most)


def _round_seconds(longest: float) -> float:
    """The end of an axis for durations."""
    found = bisect_left(_SECONDS_TOPS, longest)
    return _SECONDS_TOPS[min(found, len(_SECONDS_TOPS) - 1)]


def _value_ticks(top: float, text: Callable[[float], str]) -> tuple[Tick, ...]:
    values = [0, top] if top == 1 and text is _count_text else [0, top / 2, top]
    heights = [(value, _height(value, top)) for value in values]
    return tuple(
        Tick(height, 100 * height / HEIGHT, text(value)) for value, height in heights
    )


def _count_text(value: float) -> Phrase:
    return joined(round(value))


def _seconds_text(seconds: float) -> str:
    """``0``, ``25 ms``, ``5 s``, ``2 min``, ``1 h``."""
    if not seconds:
        return "0"
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    for length, unit in ((HOUR, "h"), (MINUTE, "min")):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


# -------------------------------------------------------------------------- the drawing


def _bars(above: Sequence[int], below: Sequence[int], top: float) -> str:
    """A bar for each bucket, from ``below`` to ``above``."""
    step = WIDTH / max(len(above), 1)
    return "".join(
        f"M{index * step:.1f} {_height(low, top):.1f}"
        f"V{_height(high, top):.1f}h{step * 0.8:.1f}V{_height(low, top):.1f}z"
        for index, (high, low) in enumerate(zip(above, below, strict=True))
        if high > low
    )


def _line(values: Iterable[float | None], top: float) -> str:
    """A line through the values, with a gap for each None."""
    return "".join(_line_parts(list(values), top))


def _line_parts(values: Sequence[float | None], top: float) -> Iterator[str]:
    step = WIDTH / max(len(values), 1)
    for index, value in enumerate(values):
        if value is None:
            continue
        gap = index == 0 or values[index - 1] is None
        x, y = index * step, _height(value, top)
        yield f"{'M' if gap else 'L'}{x:.1f} {y:.1f}h{step * 0.8:.1f}"


def _height(value: float, top: float) -> float:
    return HEIGHT * (1 - min(value, top) / top)
