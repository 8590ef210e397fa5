"""Plots: the pulse of the outbox as small pictures, and in words.

A picture is `WIDTH` by `HEIGHT` units, and drawn as wide as there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..outbox.pulse import Beat, Pulse
from ..words import MINUTE, counted, duration

WIDTH, HEIGHT = 300, 72


@dataclass(frozen=True, slots=True)
class Curve:
    """One of the things that a plot shows."""

    name: str
    path: str
    """As SVG draws it."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture."""

    title: str
    words: str
    """What is to be seen on it."""
    top: str
    """What its upper edge stands for."""
    curves: tuple[Curve, ...]
    lines: bool
    """Whether its curves are lines; else they are bars."""


def plots(pulse: Pulse) -> tuple[Plot, ...]:
    """How much was sent, how long that took, and what went wrong."""
    return (_sent(pulse), _waits(pulse), _troubles(pulse))


def _sent(pulse: Pulse) -> Plot:
    counts = [beat.sent for beat in pulse.beats]
    top = max(counts, default=0)
    words = f"{counted(pulse.whole.sent, 'message')} sent"
    if top:
        words += f", at most {top:,} in {_stretch(pulse.seconds)}"
    curve = Curve("sent", _bars(counts, [0] * len(counts), top))
    return Plot("Sent", words, f"{top:,}", (curve,), lines=False)


def _waits(pulse: Pulse) -> Plot:
    beats = pulse.beats
    p50 = [beat.waits.p50 for beat in beats]
    p95 = [beat.waits.p95 for beat in beats]
    top = max((one for one in [*p50, *p95] if one not in (None, _INFINITE)), default=0)
    whole = pulse.whole.waits
    words = "nothing was sent"
    if whole.p50 is not None and whole.p95 is not None:
        words = f"half {_within(whole.p50)}, 95% {_within(whole.p95)}"
    curves = (Curve("half", _line(p50, top)), Curve("95%", _line(p95, top)))
    return Plot("From due to sent", words, duration(top or 0), curves, lines=True)


_INFINITE = float("inf")

_WRONG: tuple[tuple[str, Callable[[Beat], int]], ...] = (
    ("failed", lambda beat: beat.failed),
    ("deferred", lambda beat: beat.deferred),
    ("unknown", lambda beat: beat.unknown),
)


def _troubles(pulse: Pulse) -> Plot:
    """Bars upon bars: at the bottom what failed, which nothing mends by itself."""
    below = [0] * len(pulse.beats)
    stacks = []
    for name, count in _WRONG:
        above = [
            low + count(beat) for low, beat in zip(below, pulse.beats, strict=True)
        ]
        stacks.append((name, above, below))
        below = above
    top = max(below, default=0)
    curves = tuple(Curve(name, _bars(above, low, top)) for name, above, low in stacks)
    words = ", ".join(f"{count(pulse.whole):,} {name}" for name, count in _WRONG)
    return Plot("Trouble", words, f"{top:,}", curves, lines=False)


def _stretch(seconds: float) -> str:
    if seconds == MINUTE:
        return "a minute"
    return duration(seconds)


def _within(seconds: float) -> str:
    if seconds == _INFINITE:
        return "in longer than is measured"
    return f"within {duration(seconds)}"


def _bars(above: Sequence[int], below: Sequence[int], top: float) -> str:
    """A bar for each beat, from ``below`` to ``above``."""
    step = WIDTH / max(len(above), 1)
    parts = [
        f"M{index * step:.1f} {_height(low, top):.1f}"
        f"V{_height(high, top):.1f}h{step * 0.8:.1f}V{_height(low, top):.1f}z"
        for index, (high, low) in enumerate(zip(above, below, strict=True))
        if high > low
    ]
    return "".join(parts)


def _line(values: Iterable[float | None], top: float) -> str:
    """A line through what there is, with a gap where there is nothing."""
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
