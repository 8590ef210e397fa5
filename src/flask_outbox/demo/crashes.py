"""Crashes: those that a person asked for on the tour, one at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from .crash import WAYS, Left, crash
from .errors import CannotRun


class Crashes:
    """What the crashes at the steps of the lesson left, since the demo started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self._told: dict[tuple[int, str], str] = {}
        self._thread: threading.Thread | None = None
        self._ending = False
        self.running: int | None = None
        """The step at which an app is being crashed."""

    def begin(self, step: int) -> None:
        """Crash both apps at a step, in the background. Raises `CannotRun`."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise CannotRun("One crash at a time: wait until the last one is over.")
        self.running = step
        self._thread = threading.Thread(target=self._crash, args=(step,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once what was begun is over and nothing is left of it."""
        self._ending = True
        if self._thread:
            self._thread.join()

    def told(self, step: int, way: str) -> str:
        """What a crash there left, in words; "" where there was none."""
        if self.running == step:
            return "An app is being crashed …"
        return self._told.get((step, way), "")

    def _crash(self, step: int) -> None:
        try:
            for way in WAYS:
                if self._ending:
                    return
                self._told[step, way] = self._left(way, step)
        finally:
            self.running = None
            self._one_at_a_time.release()

    def _left(self, way: str, step: int) -> str:
        try:
            with TemporaryDirectory(
                dir=self._folder, ignore_cleanup_errors=True
            ) as folder:
                return in_words(crash(way, step, Path(folder)))
        except (CannotRun, OSError) as error:
            return f"It could not be tried: {error}"


def in_words(left: Left) -> str:
    """What is left, as it is told on the page."""
    answered = f"“{left.answered}”" if left.answered else "no answer"
    arrived = _ARRIVED[len(left.message_ids)]
    if len(left.message_ids) > len(set(left.message_ids)):
        arrived += ", under the same Message-ID"
    record = " and ".join(f"“{state}”" for state in left.record) or "nothing"
    return f"Tried: the user got {answered}; the mail {arrived}; {record} is on record."


_ARRIVED = ("never arrived", "arrived once", "arrived twice")
