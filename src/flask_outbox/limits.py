"""Limits in time: rate limits, retry windows and backoff.

All are pure: they have no clock and no storage, and only `backoff` uses chance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from random import SystemRandom

SLOTS = 100
"""The number of slots in a window. What was taken is counted by slot, and expires up to
one slot late, never early."""

_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_WORDS = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
_LIMIT = re.compile(r"([1-9]\d{0,8})\s*/\s*([a-z]+)")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` messages in any window of ``seconds``."""

    count: int
    seconds: int

    def __str__(self) -> str:
        unit = next(unit for unit, length in _UNITS.items() if length == self.seconds)
        return f"{self.count}/{unit}"


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Parse ``"10/s, 5000/h"`` as limits that apply together. Raises `ValueError`."""
    limits = tuple(_parse(part.strip()) for part in text.lower().split(","))
    if len({one.seconds for one in limits}) < len(limits):
        raise ValueError(f"{text!r} names the same time twice")
    return limits


def _parse(part: str) -> Limit:
    found = _LIMIT.fullmatch(part)
    unit = found and _WORDS.get(found[2], found[2])
    if not found or unit not in _UNITS:
        raise ValueError(f"{part!r} is not a number per s, min, h or d")
    return Limit(int(found[1]), _UNITS[unit])


class Allowance:
    """How much of some limits is used up; shared by all couriers of a lane.

    Guarantees that what is taken keeps to each limit in *any* window of its length, not
    only in windows that begin with the clock's second or hour: what was taken counts
    for a whole window. ``kept`` is the result of the last `dump`, or None.
    """

    def __init__(self, limits: Iterable[Limit], kept: str | None) -> None:
        self._limits = tuple(limits)
        loaded: dict[str, list[tuple[int, int]]] = json.loads(kept) if kept else {}
        self._taken = {int(seconds): dict(slots) for seconds, slots in loaded.items()}

    def take(self, wanted: int, now: float) -> int:
        """Take as much of ``wanted`` as every limit allows at ``now``."""
        granted = self.left(wanted, now)
        for limit in self._limits:
            slots, slot = self._taken[limit.seconds], _slot(limit.seconds, now)
            if granted:
                slots[slot] = slots.get(slot, 0) + granted
        return granted

    def left(self, wanted: int, now: float) -> int:
        """How much of ``wanted`` every limit allows at ``now``."""
        self._forget(now)
        free = [one.count - self._used(one) for one in self._limits]
        return max(0, min([wanted, *free]))

    def next_at(self, now: float) -> float:
        """When something is allowed again; ``now`` if something is allowed already."""
        self._forget(now)
        return max([now, *(self._free_at(one) for one in self._limits)])

    def dump(self) -> str:
        """The state to store, as JSON."""
        kept = {
            str(seconds): sorted([slot, count] for slot, count in slots.items())
            for seconds, slots in self._taken.items()
            if slots
        }
        return json.dumps(kept, separators=(",", ":"))

    def _used(self, limit: Limit) -> int:
        return sum(self._taken[limit.seconds].values())

    def _free_at(self, limit: Limit) -> float:
        """When the oldest slots that exceed the limit leave its window."""
        over = self._used(limit) - limit.count
        for slot, count in sorted(self._taken[limit.seconds].items()):
            if over < 0:
                break
            over -= count
            if over < 0:
                return (slot + SLOTS + 1) * limit.seconds / SLOTS
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop slots that have left their window.

        Slots in the future, after the clock was set back, count as taken now.
        """
        for limit in self._limits:
            self._taken.setdefault(limit.seconds, {})
        for seconds, slots in self._taken.items():
            present = _slot(seconds, now)
            ahead = sum(slots.pop(slot) for slot in [*slots] if slot > present)
            if ahead:
                slots[present] = slots.get(present, 0) + ahead
            for slot in [slot for slot in slots if slot < present - SLOTS]:
                del slots[slot]


def _slot(seconds: int, now: float) -> int:
    return floor(now * SLOTS / seconds)


def in_use(kept: str | None, now: float) -> bool:
    """Whether what `Allowance.dump` wrote still counts against a limit at ``now``."""
    allowance = Allowance((), kept)
    allowance.left(0, now)
    return allowance.dump() != "{}"


ANY_OTHER = ""
"""The key for all tags that are not named, and for messages without a tag."""


@dataclass(frozen=True, slots=True)
class RetryWindow:
    """How long a message is tried before it fails, in ``seconds`` from when it is due.

    ``by_tag`` has the tags with a window of their own.
    """

    seconds: float
    by_tag: Mapping[str, float] = field(default_factory=dict, hash=False)

    def seconds_for(self, tag: str | None) -> float:
        """How many seconds a message with this tag, or with None, is tried."""
        return self.by_tag.get(tag or ANY_OTHER, self.seconds)


FIVE_DAYS = RetryWindow(5 * 86_400.0)
"""What RFC 5321 section 4.5.4.1 suggests: at least four to five days."""


CHANCE = SystemRandom()
"""The system's: where an app seeds `random`, its processes still do not wait alike."""


def backoff(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    roll: Callable[[], float] = CHANCE.random,
) -> float:
    """Return the seconds to wait after attempt number ``attempt`` (the first is 1).

    Exponential backoff with full jitter: between 0 and ``base_seconds``, doubled with
    each attempt, never above ``cap_seconds``. So messages that failed together are not
    retried together. ``roll`` returns a number between 0 and 1.

    Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    doublings = min(attempt - 1, 63)
    return roll() * min(cap_seconds, base_seconds * 2.0**doublings)
