"""Holding: which messages a courier has in hand."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ..outbox.load import Load

Tag = str | None

OFFER_SECONDS = 300.0
"""How long whoever offered a message may take to keep it: far longer than any `send`
waits for the database."""


MOST_BYTES = 32 * 1024 * 1024
"""How much the messages of a lane may weigh that are in hand at a time; a heavier one
is alone. Each is in memory a few times over while it is sent."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Places of ``lane`` that are kept for a claim."""

    lane: str
    places: int
    room: Mapping[str, int]
    """How many of them each tag may have whose places are bounded."""
    load: Load
    """How much those may weigh that are claimed for them."""


class Holding:
    """The messages in a courier's hands; shared by threads.

    A message is held from before its lease can be seen until its end is recorded, so
    that whatever is leased to the courier and not held is a stray. It may be held twice
    for a moment: what was given back can be claimed again before the courier hears that
    this was recorded. Each lane has places of its own, so that one that stalls takes
    none from the others; ``bounds`` says how many of them a tag may have. What is in
    hand of a lane weighs no more than ``most_bytes``, unless it is one message alone.
    """

    def __init__(
        self,
        bounds: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
        most_bytes: int | None = None,
    ) -> None:
        self._bounds = bounds
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._let_go = threading.Condition(self._lock)
        self._place_of: dict[str, tuple[str, Tag]] = {}
        self._times: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._taken_by: Counter[tuple[str, Tag]] = Counter()
        self._size_of: dict[str, int] = {}
        self._bytes: Counter[str] = Counter()
        self._left_bytes: Counter[str] = Counter()
        self._offered_at: dict[str, float] = {}
        self._closed = False

    def offer(
        self, message_id: str, lane: str, tag: Tag, places: int, size_bytes: int = 0
    ) -> bool:
        """Hold a new message unless ``places`` are taken, or those of its tag, or it is
        too heavy now, or all is closed.
        """
        with self._lock:
            full = tag in self.full_tags(lane) or self._crowded(lane, size_bytes)
            if self._closed or full or self._taken[lane] >= places:
                return False
            self._hold(message_id, lane, tag, size_bytes)
            self._offered_at[message_id] = self._clock()
            return True

    def accept(self, message_id: str) -> None:
        """Take note that somebody works on a message, if it had been offered."""
        with self._lock:
            self._offered_at.pop(message_id, None)

    def reserve(self, lane: str, places: int) -> Reserved:
        """Keep what is free of ``places`` for a claim; `fill` must follow."""
        with self._lock:
            free = max(0, places - self._taken[lane])
            room = {tag: self._room(lane, tag) for tag in self._bounds if free}
            in_hand = self._bytes[lane]
            load = Load(max(0, self._most_bytes - in_hand), alone=not in_hand)
            reserved = Reserved(lane, free, room, load)
            self._count(reserved, 1)
            return reserved

    def fill(
        self, reserved: Reserved, claimed: Iterable[tuple[str, Tag, int]] = ()
    ) -> None:
        """Hold what was claimed for reserved places (ids, tags, sizes in bytes); free
        the others.
        """
        with self._lock:
            self._count(reserved, -1)
            self._left_bytes[reserved.lane] = reserved.load.left_bytes
            for message_id, tag, size_bytes in claimed:
                self._hold(message_id, reserved.lane, tag, size_bytes)

    def remove(self, message_id: str) -> None:
        """Let go of a message, once for each time that it was held."""
        with self._lock:
            if message_id in self._place_of:
                lane, tag = self._place_of[message_id]
                self._taken[lane] -= 1
                self._bytes[lane] -= self._size_of[message_id]
                if tag in self._bounds:
                    self._taken_by[lane, tag] -= 1
                self._times[message_id] -= 1
                if not self._times[message_id]:
                    self._offered_at.pop(message_id, None)
                    del self._place_of[message_id], self._times[message_id]
                    del self._size_of[message_id]
                    self._let_go.notify_all()

    def let_go_of_idle(self, worked_on: Collection[str]) -> list[str]:
        """Let go of each message on which nobody works, and name them.

        Ask while nothing is being claimed. What was offered and is still being handed
        over is not idle.
        """
        offered_after = self._clock() - OFFER_SECONDS
        with self._lock:
            idle = [
                one
                for one in self._place_of
                if one not in worked_on
                and self._offered_at.get(one, offered_after) <= offered_after
            ]
        for one in idle:
            while one in self:
                self.remove(one)
        return idle

    def wait_until_gone(self, ids: Collection[str], timeout_seconds: float) -> bool:
        """Whether none of these messages was held at a moment within the time."""
        with self._let_go:
            return self._let_go.wait_for(
                lambda: not any(one in self._place_of for one in ids), timeout_seconds
            )

    def close(self) -> None:
        """Accept no further offer."""
        with self._lock:
            self._closed = True

    def free(self, lane: str, places: int) -> bool:
        """Whether one of ``places`` is free, and for what waits to be claimed."""
        return self._taken[lane] < places and not self._crowded(lane)

    def _crowded(self, lane: str, size_bytes: int = 0) -> bool:
        """Whether what was left for want of room, or this, must wait for others."""
        wanted_bytes = max(size_bytes, self._left_bytes[lane])
        in_hand = self._bytes[lane]
        return bool(in_hand) and in_hand + wanted_bytes > self._most_bytes

    def full_tags(self, lane: str) -> set[str]:
        """The tags that have all the places that they may have."""
        return {tag for tag in self._bounds if not self._room(lane, tag)}

    def _room(self, lane: str, tag: str) -> int:
        """How many more places a bounded tag may have."""
        return max(0, self._bounds[tag] - self._taken_by[lane, tag])

    def _count(self, reserved: Reserved, sign: int) -> None:
        self._taken[reserved.lane] += sign * reserved.places
        for tag, room in reserved.room.items():
            self._taken_by[reserved.lane, tag] += sign * room

    def _hold(self, message_id: str, lane: str, tag: Tag, size_bytes: int) -> None:
        self._size_of.setdefault(message_id, size_bytes)
        self._bytes[lane] += self._size_of[message_id]
        self._place_of[message_id] = lane, tag
        self._times[message_id] += 1
        self._taken[lane] += 1
        if tag in self._bounds:
            self._taken_by[lane, tag] += 1

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._place_of

    def __len__(self) -> int:
        return len(self._place_of)
