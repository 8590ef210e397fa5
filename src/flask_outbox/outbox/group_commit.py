"""Group commit: callers that write at the same time share one transaction and sync."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]
Batch = list["_Turn[Any]"]


class _Turn(Generic[T]):
    """One caller's work, and what came of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.done = False
        self.result: T
        self.error: Exception | None = None

    def run(self, connection: Connection) -> None:
        self.result = self.work(connection)

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done = True

    def outcome(self) -> T:
        assert self.done
        if self.error is not None:
            raise self.error
        return self.result


class GroupCommit:
    """Runs each caller's work durably, many callers to a commit.

    Whoever comes first commits for all who came until then; the others find their work
    done when their turn comes. Nobody returns before a commit that holds its work. Work
    may run twice (alone, when the batch that it was in failed), so it must have no
    effect but on its connection.
    """

    def __init__(
        self, transaction: Callable[[Callable[[Connection], None]], None]
    ) -> None:
        self._transaction = transaction
        self._waiting: deque[_Turn[Any]] = deque()
        self._committing = threading.Lock()

    def run(self, work: Work[T]) -> T:
        """Return what ``work`` returned, once it is committed; raise what it raised."""
        turn = _Turn(work)
        self._waiting.append(turn)
        with self._committing:
            if not turn.done:
                self._commit_for_all(turn)
        return turn.outcome()

    def _commit_for_all(self, leader: _Turn[Any]) -> None:
        """Commit what waits; what an interruption leaves undone waits on."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._commit(batch)
        except BaseException:
            undone = [one for one in batch if not one.done and one is not leader]
            self._waiting.extendleft(reversed(undone))
            raise

    def _commit(self, batch: Batch) -> None:
        try:
            self._transaction(lambda connection: _run_all(batch, connection))
        except Exception as error:
            if len(batch) == 1 or _concerns_all(error):
                _finish_all(batch, error)
            else:
                self._isolate(batch)
        else:
            _finish_all(batch)

    def _isolate(self, batch: Batch) -> None:
        """Let each work of a failed batch stand or fall alone."""
        for turn in batch:
            self._commit([turn])


_DATABASE_ERRORS = {
    "OperationalError",
    "InterfaceError",
    "OutboxUnavailable",
    "SchemaError",
}
"""What drivers (PEP 249) and we raise when the database itself fails."""


def _concerns_all(error: Exception) -> bool:
    """Whether the database failed, not a work: then nobody need wait for it again."""
    cause = getattr(error, "orig", None) or error
    return any(kind.__name__ in _DATABASE_ERRORS for kind in type(cause).__mro__)


def _finish_all(batch: Batch, error: Exception | None = None) -> None:
    for turn in batch:
        turn.finish(error)


def _run_all(batch: Batch, connection: Connection) -> None:
    for turn in batch:
        turn.run(connection)
