"""The queue of a lane's claimed messages that wait for a place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count

from ..outbox.records import Claim

AHEAD_SECONDS = 0.25
"""How much work is claimed ahead: enough for large claims, and so little that what a
crash makes suspect, and is then delivered one at a time, is few."""

MOST_AHEAD = 500
"""More than so many make a claim hardly cheaper for each."""

STALL_SECONDS = 5.0
"""When no attempt has ended for this long, the queue is returned: another courier may
be luckier with that server."""


Entry = tuple[int, int, Claim]
"""A claim behind what orders the queue: its priority, negated, and a serial number."""


class LocalQueue:
    """Claimed messages, the most urgent first, and how many to claim ahead.

    Those whose templates are to be rendered first wait apart. `pop_unrendered` may be
    called from any thread; the rest belongs to the courier's event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: list[Entry] = []
        self._unrendered: list[Entry] = []
        self._lock = threading.Lock()
        """Guards ``_unrendered``: threads that render take from it."""
        self._order = count()
        self._ready_bytes = 0
        self._half = 0
        """Half of how many were ready after the last was added."""
        self._moved_at = 0.0
        self._counting_since = 0.0
        self._ended = 0
        self._ended_before = 0

    def push(self, claim: Claim) -> None:
        """Add a message behind all that are as urgent, to be rendered first if it has a
        template.

        One that may have caused a crash is rendered in its attempt, alone.
        """
        if claim.template is not None and not claim.crashes:
            self.push_unrendered(claim)
            return
        heappush(self._ready, self._entry(claim))
        self._ready_bytes += len(claim.content)
        self._half = len(self._ready) // 2

    def push_unrendered(self, claim: Claim) -> None:
        """Add a message that is to be rendered, behind all that are as urgent."""
        entry = self._entry(claim)
        with self._lock:
            heappush(self._unrendered, entry)

    def _entry(self, claim: Claim) -> Entry:
        if not self:
            self._moved_at = self._clock()
        return -claim.priority, next(self._order), claim

    def pop(self) -> Claim:
        """Remove and return the most urgent message that is ready, the oldest of
        several.
        """
        claim = heappop(self._ready)[2]
        self._ready_bytes -= len(claim.content)
        return claim

    def pop_unrendered(self, taken: list[Claim]) -> Claim | None:
        """Move the most urgent message that is to be rendered to the end of ``taken``,
        and return it; None if there is none.
        """
        with self._lock:
            if not self._unrendered:
                return None
            taken.append(heappop(self._unrendered)[2])
            return taken[-1]

    @property
    def any_ready(self) -> bool:
        """Whether a message is ready for its attempt."""
        return bool(self._ready)

    def needs_rendering(self, enough_bytes: int) -> bool:
        """Whether a message is to be rendered now: fewer bytes than ``enough_bytes``
        are ready, or it is more urgent than all that are.
        """
        with self._lock:
            if not self._unrendered:
                return False
            if self._ready_bytes < enough_bytes:
                return True
            return bool(self._ready) and self._unrendered[0][0] < self._ready[0][0]

    @property
    def half_empty(self) -> bool:
        """Whether just half of those are ready that were after the last `push`."""
        return len(self._ready) == self._half

    def empty(self) -> list[Claim]:
        """Remove and return all messages, the most urgent first."""
        with self._lock:
            entries = sorted([*self._ready, *self._unrendered])
            self._ready.clear()
            self._unrendered.clear()
            self._ready_bytes = 0
        return [claim for _, _, claim in entries]

    @property
    def least_priority(self) -> int | None:
        """The priority of the least urgent message; None if the queue is empty."""
        return min((claim.priority for _, _, claim in self._entries()), default=None)

    def lanes(self) -> set[str]:
        """The lanes by which the queued messages would leave."""
        return {claim.lane for _, _, claim in self._entries()}

    def stalled(self) -> bool:
        """Whether messages wait and no attempt has ended for `STALL_SECONDS`."""
        return bool(self) and self._clock() - self._moved_at > STALL_SECONDS

    def ids(self) -> Iterator[str]:
        """The ids of the queued messages."""
        return (claim.id for _, _, claim in self._entries())

    def _entries(self) -> list[Entry]:
        with self._lock:
            return [*self._ready, *self._unrendered]

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
        return len(self._ready) + len(self._unrendered)
