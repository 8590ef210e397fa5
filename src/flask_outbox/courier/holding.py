"""Holding: which messages a courier has in hand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable


class Holding:
    """The messages in a courier's hands; shared by threads.

    A message is held from before its lease can be seen until its end is recorded, so
    that whatever is leased to the courier and not held is a stray. It may be held twice
    for a moment: what was given back can be claimed again before the courier hears that
    this was recorded. Each lane has places of its own, so that one that stalls takes
    none from the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._let_go = threading.Condition(self._lock)
        self._lane_of: dict[str, str] = {}
        self._times: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._closed = False

    def offer(self, message_id: str, lane: str, places: int) -> bool:
        """Hold a new message unless ``places`` are taken or all is closed."""
        with self._lock:
            if self._closed or self._taken[lane] >= places:
                return False
            self._hold(message_id, lane)
            return True

    def reserve(self, lane: str, places: int) -> int:
        """Keep what is free of ``places`` for a claim; `fill` must follow."""
        with self._lock:
            free = max(0, places - self._taken[lane])
            self._taken[lane] += free
            return free

    def fill(self, lane: str, reserved: int, message_ids: Iterable[str] = ()) -> None:
        """Hold what was claimed for ``reserved`` places, and free the others."""
        with self._lock:
            self._taken[lane] -= reserved
            for one in message_ids:
                self._hold(one, lane)

    def remove(self, message_id: str) -> None:
        """Let go of a message, once for each time that it was held."""
        with self._lock:
            if message_id in self._lane_of:
                self._taken[self._lane_of[message_id]] -= 1
                self._times[message_id] -= 1
                if not self._times[message_id]:
                    del self._lane_of[message_id], self._times[message_id]
                    self._let_go.notify_all()

    def wait_until_gone(self, ids: Collection[str], timeout_seconds: float) -> bool:
        """Whether none of these messages was held at a moment within the time."""
        with self._let_go:
            return self._let_go.wait_for(
                lambda: not any(one in self._lane_of for one in ids), timeout_seconds
            )

    def close(self) -> None:
        """Accept no further offer."""
        with self._lock:
            self._closed = True

    def free(self, lane: str, places: int) -> bool:
        """Whether one of ``places`` is free."""
        return self._taken[lane] < places

    def _hold(self, message_id: str, lane: str) -> None:
        self._lane_of[message_id] = lane
        self._times[message_id] += 1
        self._taken[lane] += 1

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._lane_of

    def __len__(self) -> int:
        return len(self._lane_of)
