"""The messages that a courier has in flight, and how many more it may take."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ..outbox import Load

Tag = str | None

ENQUEUE_SECONDS = 300.0
"""How long a sender may take to enqueue a message that it has added: far longer than
any `send` waits for the database."""


MOST_BYTES = 32 * 1024 * 1024
"""How many bytes of a lane's messages may be in flight together; a larger message goes
alone. While it is sent, each is in memory several times."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Places of ``lane`` that are reserved for a claim."""

    lane: str
    places: int
    room: Mapping[str, int]
    """For each tag with a limit, how many of these places it may have."""
    load: Load
    """How large the claimed messages may be in all."""


class InFlight:
    """The messages that a courier has in flight. Safe to use from several threads.

    A message is in flight from before its lease becomes visible until its end is
    recorded, so whatever is leased to the courier and not in flight is a stray. It may
    be counted twice for a moment: a returned message can be claimed again before the
    courier learns that the return was recorded.

    Each lane has places of its own, so one that stalls takes none from the others;
    ``bounds`` says how many of them a tag may have. A lane's messages have at most
    ``most_bytes`` together, unless there is only one.
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
        self._removed = threading.Condition(self._lock)
        self._place_of: dict[str, tuple[str, Tag, int]] = {}
        """The lane, tag and size in bytes of each message."""
        self._copies: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._taken_by: Counter[tuple[str, Tag]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._left_bytes: Counter[str] = Counter()
        self._enqueuing_since: dict[str, float] = {}
        self._closed = False

    def try_add(
        self, message_id: str, lane: str, tag: Tag, places: int, size_bytes: int = 0
    ) -> bool:
        """Take a new message in flight, and return whether that was possible.

        It is not if all ``places`` or those of its tag are taken, if it is too large
        now, or after `close`.
        """
        with self._lock:
            if self._closed or self._taken[lane] >= places:
                return False
            if tag is not None and tag in self._bounds and not self._room(lane, tag):
                return False
            if self._exceeds_memory(lane, size_bytes):
                return False
            self._add(message_id, lane, tag, size_bytes)
            self._enqueuing_since[message_id] = self._clock()
            return True

    def resize(self, message_id: str, size_bytes: int) -> None:
        """Note that a message in flight has another size now."""
        with self._lock:
            place = self._place_of.get(message_id)
            if place is not None:
                lane, tag, size_before = place
                grown_bytes = size_bytes - size_before
                self._bytes[lane] += grown_bytes * self._copies[message_id]
                self._place_of[message_id] = lane, tag, size_bytes

    def mark_enqueued(self, message_id: str) -> None:
        """Note that a message which `try_add` added is enqueued."""
        with self._lock:
            self._enqueuing_since.pop(message_id, None)

    def reserve(self, lane: str, places: int) -> Reservation:
        """Reserve the free ones of ``places`` for a claim; `fill` must follow."""
        with self._lock:
            free = max(0, places - self._taken[lane])
            room = {tag: self._room(lane, tag) for tag in self._bounds if free}
            in_hand = self._bytes[lane]
            load = Load(max(0, self._most_bytes - in_hand), alone=not in_hand)
            reserved = Reservation(lane, free, room, load)
            self._count(reserved, 1)
            return reserved

    def fill(
        self, reserved: Reservation, claimed: Iterable[tuple[str, Tag, int]] = ()
    ) -> None:
        """Take claimed messages (id, tag, size in bytes) in flight, and free the other
        places.
        """
        with self._lock:
            self._count(reserved, -1)
            self._left_bytes[reserved.lane] = reserved.load.left_bytes
            for message_id, tag, size_bytes in claimed:
                self._add(message_id, reserved.lane, tag, size_bytes)

    def remove(self, *ids: str) -> None:
        """Remove messages; one that was added twice must be removed twice."""
        with self._lock:
            for message_id in ids:
                self._remove(message_id)
            self._removed.notify_all()

    def _remove(self, message_id: str) -> None:
        place = self._place_of.get(message_id)
        if place is None:
            return
        lane, tag, size_bytes = place
        self._taken[lane] -= 1
        self._bytes[lane] -= size_bytes
        if tag in self._bounds:
            self._taken_by[lane, tag] -= 1
        self._copies[message_id] -= 1
        if not self._copies[message_id]:
            self._enqueuing_since.pop(message_id, None)
            del self._place_of[message_id], self._copies[message_id]

    def remove_idle(self, worked_on: Collection[str]) -> list[str]:
        """Remove each message that is not in ``worked_on``, and return their ids.

        Call it while nothing is being claimed. A message that was added and is still
        being enqueued is not removed.
        """
        lost_before = self._clock() - ENQUEUE_SECONDS
        with self._lock:
            idle = [
                one
                for one in self._place_of
                if one not in worked_on
                and self._enqueuing_since.get(one, lost_before) <= lost_before
            ]
        for one in idle:
            while one in self:
                self.remove(one)
        return idle

    def wait_until_gone(self, ids: Collection[str], timeout_seconds: float) -> bool:
        """Wait until none of these messages is in flight; False if time ran out."""
        with self._removed:
            return self._removed.wait_for(
                lambda: not any(one in self._place_of for one in ids), timeout_seconds
            )

    def close(self) -> None:
        """Accept no further message."""
        with self._lock:
            self._closed = True

    def free(self, lane: str, places: int) -> bool:
        """Whether one of ``places`` is free, and the next message to claim is not too
        large.
        """
        return self._taken[lane] < places and not self._exceeds_memory(lane)

    def _exceeds_memory(self, lane: str, size_bytes: int = 0) -> bool:
        """Whether this, or what the last claim had to leave, is too large for now."""
        wanted_bytes = max(size_bytes, self._left_bytes[lane])
        in_hand = self._bytes[lane]
        return bool(in_hand) and in_hand + wanted_bytes > self._most_bytes

    def taken(self, lane: str) -> int:
        """How many messages of ``lane`` are in flight."""
        return self._taken[lane]

    def forget(self, lane: str) -> None:
        """Drop what is counted of a lane that has nothing in flight."""
        with self._lock:
            if not self._taken[lane]:
                for counts in (self._taken, self._bytes, self._left_bytes):
                    del counts[lane]
                for tag in self._bounds:
                    self._taken_by.pop((lane, tag), None)

    def full_tags(self, lane: str) -> set[str]:
        """The tags that have taken all their places."""
        return {tag for tag in self._bounds if not self._room(lane, tag)}

    def _room(self, lane: str, tag: str) -> int:
        """How many more places a limited tag may take."""
        return max(0, self._bounds[tag] - self._taken_by[lane, tag])

    def _count(self, reserved: Reservation, sign: int) -> None:
        self._taken[reserved.lane] += sign * reserved.places
        for tag, room in reserved.room.items():
            self._taken_by[reserved.lane, tag] += sign * room

    def _add(self, message_id: str, lane: str, tag: Tag, size_bytes: int) -> None:
        place = self._place_of.setdefault(message_id, (lane, tag, size_bytes))
        lane, tag, size_bytes = place
        self._copies[message_id] += 1
        self._taken[lane] += 1
        self._bytes[lane] += size_bytes
        if tag in self._bounds:
            self._taken_by[lane, tag] += 1

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._place_of

    def __len__(self) -> int:
        return len(self._place_of)
