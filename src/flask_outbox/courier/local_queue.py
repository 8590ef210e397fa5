"""The queue of a lane's claimed messages that wait for a place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count

from ..outbox.records import Claim

AHEAD_SECONDS = 0.25
"""How much work is claimed ahead: enough for large claims, and so little that what a
crash makes suspect, and is then delivered one at a time, is few."""

MOST_AHEAD = 200
"""More than so many make a claim hardly cheaper for each."""

STALL_SECONDS = 5.0
"""When no attempt has ended for this long, the queue is returned: another courier may
be luckier with that server."""


class LocalQueue:
    """Claimed messages, the most urgent first, and how many to claim ahead."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Claim]] = []
        self._order = count()
        self._half = 0
        """Half of how many there were after the last was added."""
        self._moved_at = 0.0
        self._counting_since = 0.0
        self._ended = 0
        self._ended_before = 0

    def push(self, claim: Claim) -> None:
        """Add a message behind all that are as urgent."""
        if not self._heap:
            self._moved_at = self._clock()
        heappush(self._heap, (-claim.priority, next(self._order), claim))
        self._half = len(self._heap) // 2

    def pop(self) -> Claim:
        """Remove and return the most urgent message, the oldest of several."""
        return heappop(self._heap)[2]

    @property
    def half_empty(self) -> bool:
        """Whether just half of those are left that were there after the last `push`."""
        return len(self._heap) == self._half

    def empty(self) -> list[Claim]:
        """Remove and return all messages, the most urgent first."""
        claims = [claim for _, _, claim in sorted(self._heap)]
        self._heap.clear()
        return claims

    @property
    def least_priority(self) -> int:
        """The priority of the least urgent message. Raises `ValueError` if the queue is
        empty.
        """
        return -max(priority for priority, _, _ in self._heap)

    def lanes(self) -> set[str]:
        """The lanes by which the queued messages would leave."""
        return {claim.lane for _, _, claim in self._heap}

    def stalled(self) -> bool:
        """Whether messages wait and no attempt has ended for `STALL_SECONDS`."""
        return bool(self._heap) and self._clock() - self._moved_at > STALL_SECONDS

    def ids(self) -> Iterator[str]:
        """The ids of the queued messages."""
        return (claim.id for _, _, claim in self._heap)

    def count_end(self) -> None:
        """Count an attempt of this lane that has ended."""
        self._turn()
        self._ended += 1
        self._moved_at = self._clock()

    def ahead(self) -> int:
        """How many messages to claim ahead: as many as recently ended in
        `AHEAD_SECONDS`.
        """
        self._turn()
        return min(MOST_AHEAD, max(self._ended, self._ended_before))

    def _turn(self) -> None:
        """Start a new count when the period is over."""
        now = self._clock()
        passed = now - self._counting_since
        if passed >= AHEAD_SECONDS:
            self._ended_before = self._ended if passed < 2 * AHEAD_SECONDS else 0
            self._ended = 0
            self._counting_since = now

    def __len__(self) -> int:
        return len(self._heap)
