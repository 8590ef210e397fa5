"""Group commit: concurrent writers share one transaction, and so one sync to disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection

from .database_errors import concerns_all, is_databases

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[Connection], T]
WorkOf = Callable[Concatenate[Connection, P], T]
"""Work that depends on arguments."""


class SharedWork:
    """Work that shares its statements with other callers' of its type.

    Not an abstract class: to ask whether a work is of one takes longer.
    """

    def __call__(self, connection: Connection) -> Any:
        """Run alone."""
        raise NotImplementedError

    def run_together(self, connection: Connection, works: Sequence[Any]) -> list[Any]:
        """Run ``works``, which are of this type; return their results."""
        raise NotImplementedError

    def run_and_commit(
        self, connection: Connection, works: Sequence[Any]
    ) -> list[Any] | None:
        """Run and commit ``works``, of this type, in the driver's own transaction.

        None, with nothing done, if they need one of SQLAlchemy's.
        """
        raise NotImplementedError


def run_all(connection: Connection, works: Sequence[Work[Any]]) -> list[Any]:
    """Run ``works``, the shared ones together; return their results."""
    shared = [work for work in works if isinstance(work, SharedWork)]
    if len(shared) < 2:
        return [work(connection) for work in works]
    results = shared[0].run_together(connection, shared)
    result_of = dict(zip(map(id, shared), results, strict=True))
    return [
        result_of[id(work)] if id(work) in result_of else work(connection)
        for work in works
    ]


LEADER_POLL_SECONDS = 0.05
"""How often waiting callers check that there is a leader. A leader wakes them when it
leaves, unless an exception from outside, such as a signal handler's, prevented that."""


GATHER_SECONDS = 0.000_2
"""How long a leader waits for as many callers as shared the last commit: they usually
come again, but need time to prepare. It is about as long as a sync, which is saved."""


class _Turn(Generic[T]):
    """One caller's work and its outcome.

    ``done`` is set when the work has ended, ``over`` when its caller has left.
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

    def wait(self, seconds: float = LEADER_POLL_SECONDS) -> None:
        """Return after `call`, or after ``seconds``."""
        self._called.acquire(timeout=seconds)

    def call(self) -> None:
        """Wake the caller, to see whether it is done or should lead."""
        if self._called.locked():
            with suppress(RuntimeError):  # it has just woken
                self._called.release()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.done = True
        self.call()


Turns = list[_Turn[Any]]


class GroupCommit:
    """Runs callers' work in shared commits; each call returns once its work is durable.

    The first caller leads: it commits the work of all callers that wait, and then the
    first of those that came meanwhile leads. Work may run twice: alone, if a commit
    that it shared failed, or after an interruption. So it must have no effect but on
    its connection, and must cope with rows that an earlier run has committed.

    ``run_batch`` runs works in one transaction and returns their results once that is
    committed.

    An exception from outside, such as a signal handler's, may come at any moment. An
    interrupted caller therefore leaves one mark, set by a single assignment: its turn
    is ``over``. If it was the leader, a waiting caller sees the mark and leads.
    """

    def __init__(
        self, run_batch: Callable[[Sequence[Work[Any]]], Sequence[Any]]
    ) -> None:
        self._run_batch = run_batch
        self._changing = threading.Lock()
        self._waiting: Turns = []
        self._taken: Turns = []
        self._leader: _Turn[Any] | None = None
        self._expected = 0
        """How many callers shared the last commit, or 0 if none did."""

    def run(self, work: Work[T]) -> T:
        """Return the result of ``work`` once it is committed; raise what it raises."""
        turn = _Turn(work)
        try:
            with self._changing:
                self._waiting.append(turn)
                leader = self._leader
            if leader is not None and len(self._waiting) == self._expected:
                leader.call()
            while not turn.done:
                if not self._leads(turn):
                    turn.wait()
                    continue
                if len(self._waiting) < self._expected:
                    turn.wait(GATHER_SECONDS)
                if taken := self._take():
                    self._commit(taken)
        finally:
            turn.over = True
            if self._leader is turn:
                self._call_next()
        if turn.error is not None:
            raise turn.error
        return turn.result

    def _leads(self, turn: _Turn[Any]) -> bool:
        """Whether ``turn`` leads; it becomes the leader if there is none."""
        with self._changing:
            if self._leader is None or self._leader.over:
                self._leader = turn
            return self._leader is turn

    def _take(self) -> Turns:
        """What the leader has to commit: the waiting turns, its own among them, and
        those that an interrupted leader had taken.
        """
        with self._changing:
            open_turns = [*self._taken, *self._waiting]
            taken = [one for one in open_turns if not (one.done or one.over)]
            self._taken, self._waiting = taken, []
        sharing = sum(isinstance(one.work, SharedWork) for one in taken)
        self._expected = sharing if sharing > 1 else 0
        return taken

    def _call_next(self) -> None:
        for one in (*self._taken, *self._waiting):
            if not (one.done or one.over):
                one.call()
                return

    def _commit(self, turns: Turns) -> None:
        try:
            results = self._run_batch([turn.work for turn in turns])
        except Exception as error:
            if len(turns) == 1 or concerns_all(error):
                _fail_all(turns, error)
                return
            self._commit_each(turns)
            if not _is_of(turns, error):
                raise  # it came from outside, for this caller alone
        else:
            for turn, result in zip(turns, results, strict=True):
                turn.result = result
                turn.done = True
                if turn is not self._leader:
                    turn.call()

    def _commit_each(self, turns: Turns) -> None:
        """Commit each turn alone, after they failed together."""
        for number, turn in enumerate(turns):
            self._commit([turn])
            if turn.error is not None and concerns_all(turn.error):
                _fail_all(turns[number + 1 :], turn.error)
                return


def _is_of(turns: Turns, error: Exception) -> bool:
    """Whether ``error`` came from the database or from one of the works."""
    return is_databases(error) or any(
        isinstance(turn.error, type(error)) for turn in turns
    )


def _fail_all(turns: Turns, error: Exception) -> None:
    for turn in turns:
        turn.fail(error)
