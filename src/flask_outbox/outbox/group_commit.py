"""Group commit: callers that write at the same time share one transaction and sync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from .faults import concerns_all, is_databases

T = TypeVar("T")
Work = Callable[[Connection], T]
Batch = list["_Turn[Any]"]

LOOK_SECONDS = 0.05
"""How often those who wait look whether somebody leads: whoever leads tells them when
it leaves, unless an exception from outside, such as a signal's, kept it from that."""


class _Turn(Generic[T]):
    """One caller's work, and what came of it.

    ``done`` is that the work has come to its end, ``over`` that its caller has left.
    """

    __slots__ = ("_called", "done", "error", "over", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.done = False
        self.over = False
        self.result: T
        self.error: Exception | None = None
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> None:
        """Return once it is done or is to lead, or after a while."""
        self._called.acquire(timeout=LOOK_SECONDS)

    def call(self) -> None:
        """Have its caller look again."""
        with suppress(RuntimeError):  # it looks already
            self._called.release()

    def run(self, connection: Connection) -> None:
        self.result = self.work(connection)

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done = True
        self.call()

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
    batch that it was in failed, or after an interruption), so it must have no effect
    but on its connection, and cope with its own.

    An exception may come from outside at any moment, as those that handlers of signals
    raise. So all that an interrupted caller leaves behind is that its turn is over,
    which one assignment says: whoever waits sees that nobody leads, and leads.
    """

    def __init__(
        self, transaction: Callable[[Callable[[Connection], None]], None]
    ) -> None:
        self._transaction = transaction
        self._changing = threading.Lock()
        self._waiting: Batch = []
        self._taken: Batch = []
        self._leader: _Turn[Any] | None = None

    def run(self, work: Work[T]) -> T:
        """Return what ``work`` returned, once it is committed; raise what it raised."""
        turn = _Turn(work)
        try:
            with self._changing:
                self._waiting.append(turn)
            while not turn.done:
                if self._leads(turn):
                    self._commit_for_all()
                else:
                    turn.wait()
        finally:
            turn.over = True
            if self._leader is turn:
                self._call_next()
        return turn.outcome()

    def _leads(self, turn: _Turn[Any]) -> bool:
        """Whether ``turn`` leads, as it does from now on where nobody did."""
        with self._changing:
            if self._leader is None or self._leader.over:
                self._leader = turn
            return self._leader is turn

    def _call_next(self) -> None:
        for one in _undone([*self._taken, *self._waiting]):
            one.call()
            return

    def _commit_for_all(self) -> None:
        """Commit what waits, and what an interrupted leader had taken."""
        with self._changing:
            taken = _undone([*self._taken, *self._waiting])
            self._taken, self._waiting = taken, []
        self._commit(taken)

    def _commit(self, batch: Batch) -> None:
        try:
            self._transaction(lambda connection: _run_all(batch, connection))
        except Exception as error:
            if len(batch) == 1 or concerns_all(error):
                _finish_all(batch, error)
                return
            self._isolate(batch)
            if not _is_of(batch, error):
                raise  # it came from outside, and is this caller's
        else:
            _finish_all(batch)

    def _isolate(self, batch: Batch) -> None:
        """Let each work of a failed batch stand or fall alone, while any can stand."""
        for number, turn in enumerate(batch):
            self._commit([turn])
            if turn.error is not None and concerns_all(turn.error):
                _finish_all(batch[number + 1 :], turn.error)
                return


def _is_of(batch: Batch, error: Exception) -> bool:
    """Whether ``error`` came of a work or of the database."""
    return is_databases(error) or any(
        isinstance(turn.error, type(error)) for turn in batch
    )


def _undone(turns: Iterable[_Turn[Any]]) -> Batch:
    return [one for one in turns if not one.done and not one.over]


def _finish_all(batch: Batch, error: Exception | None = None) -> None:
    for turn in batch:
        turn.finish(error)


def _run_all(batch: Batch, connection: Connection) -> None:
    for turn in batch:
        turn.run(connection)
