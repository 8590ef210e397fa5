"""Rate: how many messages may go in a time. Pure: no clock and no store of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor

SLOTS = 100
"""How finely a window is kept: what was taken is remembered by slots of a hundredth of
it, and forgotten up to one slot late, never early."""

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
    """``"10/s, 5000/h"`` as limits that hold together. Raises `ValueError`."""
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
    """How much of some limits is used up: what all couriers of a lane share.

    Guarantees that whatever is taken keeps to each limit in *any* window of its length,
    not only in those that begin with the clock's second or hour: what was taken counts
    for the whole window after it. ``kept`` is what `dump` said last.
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
        """When something is allowed again; ``now`` where something is."""
        self._forget(now)
        return max([now, *(self._free_at(one) for one in self._limits)])

    def dump(self) -> str:
        """What to keep, as JSON."""
        kept = {
            str(seconds): sorted([slot, count] for slot, count in slots.items())
            for seconds, slots in self._taken.items()
            if slots
        }
        return json.dumps(kept, separators=(",", ":"))

    def _used(self, limit: Limit) -> int:
        return sum(self._taken[limit.seconds].values())

    def _free_at(self, limit: Limit) -> float:
        """When the oldest slots that are over the limit have left its window."""
        over = self._used(limit) - limit.count
        for slot, count in sorted(self._taken[limit.seconds].items()):
            if over < 0:
                break
            over -= count
            if over < 0:
                return (slot + SLOTS + 1) * limit.seconds / SLOTS
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop what has left its window; what lies ahead (a clock was put back) is
        taken for now.
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
