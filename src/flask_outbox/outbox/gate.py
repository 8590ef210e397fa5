"""Gate: many may be inside at a time, or one keeps everybody out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOK_SECONDS = 0.001
"""How often whoever shuts the gate looks whether all have left."""


class Gate:
    """Lets any number of users in, and can be shut once all of them have left.

    Whatever exception comes from outside at whatever moment, nobody counts as inside
    who has left, and the gate is not shut for ever.
    """

    def __init__(self) -> None:
        self._doorway = threading.RLock()
        self._visits: set[object] = set()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside, waiting while the gate is shut."""
        visit, visits = object(), self._visits
        try:
            with self._doorway:
                visits.add(visit)
            yield
        finally:
            visits.discard(visit)

    def shut(self, seconds: float) -> bool:
        """Keep everybody out until `open`; False when some are inside even so.

        Those get ``seconds`` to leave. The same thread opens it.
        """
        self._doorway.acquire()
        deadline = time.monotonic() + seconds
        while self._visits:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def open(self) -> None:
        """Let users in again."""
        with suppress(RuntimeError):  # whoever was interrupted may not have shut it
            self._doorway.release()
