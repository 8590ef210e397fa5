"""Holding: which messages a courier has in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterable


class Holding:
    """The messages in a courier's hands; shared by threads.

    A message is held from before its lease can be seen until its end is recorded, so
    that whatever is leased to the courier and not held is a stray.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._reserved = 0
        self._closed = False

    def offer(self, message_id: str, places: int) -> bool:
        """Hold a new message unless ``places`` are taken or all is closed."""
        with self._lock:
            if self._closed or len(self._ids) + self._reserved >= places:
                return False
            self._ids.add(message_id)
            return True

    def reserve(self, places: int) -> int:
        """Keep what is free of ``places`` for a claim; `fill` must follow."""
        with self._lock:
            free = max(0, places - len(self._ids) - self._reserved)
            self._reserved += free
            return free

    def fill(self, reserved: int, message_ids: Iterable[str] = ()) -> None:
        """Hold what was claimed for ``reserved`` places, and free the others."""
        with self._lock:
            self._reserved -= reserved
            self._ids.update(message_ids)

    def remove(self, message_id: str) -> None:
        """Let go of a message."""
        with self._lock:
            self._ids.discard(message_id)

    def close(self) -> None:
        """Accept no further offer."""
        with self._lock:
            self._closed = True

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)
