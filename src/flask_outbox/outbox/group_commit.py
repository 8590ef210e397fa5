"""Group commit: callers that write at the same time share one transaction and sync."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from .faults import concerns_all

T = TypeVar("T")
Work = Callable[[Connection], T]
Batch = list["_Turn[Any]"]


class _Turn(Generic[T]):
    """One caller's work, what came of it, and whether this caller commits for all."""

    __slots__ = ("_called", "done", "error", "leads", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.leads = False
        self.done = False
        self.result: T
        self.error: Exception | None = None
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> None:
        """Return once it is done, or is to lead."""
        self._called.acquire()

    def lead(self) -> None:
        """Have its caller commit for all that wait."""
        self.leads = True
        self._called.release()

    def run(self, connection: Connection) -> None:
        self.result = self.work(connection)

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done = True
        if not self.leads:
            self._called.release()

    def outcome(self) -> T:
        assert self.done
        if self.error is not None:
            raise self.error
        return self.result


class GroupCommit:
    """Runs each caller's work durably, many callers to a commit.

    Whoever comes first leads: it commits for all who came until then, and the first of
    those who came meanwhile leads next. The others return as soon as their work is
    done, and nobody before a commit that holds it. Work may run twice (alone, when the
    batch that it was in failed), so it must have no effect but on its connection.
    """

    def __init__(
        self, transaction: Callable[[Callable[[Connection], None]], None]
    ) -> None:
        self._transaction = transaction
        self._changing = threading.Lock()
        self._waiting: deque[_Turn[Any]] = deque()
        self._led = False

    def run(self, work: Work[T]) -> T:
        """Return what ``work`` returned, once it is committed; raise what it raised."""
        turn = _Turn(work)
        with self._changing:
            self._waiting.append(turn)
            turn.leads = not self._led
            self._led = True
        try:
            if not turn.leads:
                turn.wait()
            if turn.leads:
                self._commit_for_all(turn)
        finally:
            self._leave(turn)
        return turn.outcome()

    def _commit_for_all(self, leader: _Turn[Any]) -> None:
        """Commit what waits; what an interruption leaves undone waits on."""
        with self._changing:
            batch = list(self._waiting)
            self._waiting.clear()
        try:
            self._commit(batch)
        except BaseException:
            undone = [one for one in batch if not one.done and one is not leader]
            with self._changing:
                self._waiting.extendleft(reversed(undone))
            raise

    def _leave(self, turn: _Turn[Any]) -> None:
        """Wait no longer, even if interrupted; let the next lead if this one did."""
        if turn.done and not turn.leads:
            return
        with self._changing:
            with suppress(ValueError):
                self._waiting.remove(turn)
            if turn.leads:
                self._led = bool(self._waiting)
                if self._led:
                    self._waiting[0].lead()

    def _commit(self, batch: Batch) -> None:
        try:
            self._transaction(lambda connection: _run_all(batch, connection))
        except Exception as error:
            if len(batch) == 1 or concerns_all(error):
                _finish_all(batch, error)
            else:
                self._isolate(batch)
        else:
            _finish_all(batch)

    def _isolate(self, batch: Batch) -> None:
        """Let each work of a failed batch stand or fall alone, while any can stand."""
        for number, turn in enumerate(batch):
            self._commit([turn])
            if turn.error is not None and concerns_all(turn.error):
                _finish_all(batch[number + 1 :], turn.error)
                return


def _finish_all(batch: Batch, error: Exception | None = None) -> None:
    for turn in batch:
        turn.finish(error)


def _run_all(batch: Batch, connection: Connection) -> None:
    for turn in batch:
        turn.run(connection)
