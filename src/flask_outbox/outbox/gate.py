"""Gate: many may be inside at a time, or one keeps everybody out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets any number of users in, and can be shut once all of them have left."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside, waiting while the gate is shut."""
        with self._changed:
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def shut(self, seconds: float) -> bool:
        """Keep everybody out until `open`; False when some are inside even so.

        Those get ``seconds`` to leave.
        """
        self._changed.acquire()
        return self._changed.wait_for(lambda: self._inside == 0, seconds)

    def open(self) -> None:
        """Let users in again."""
        self._changed.release()
