"""Commits: who waits for the end of a transaction that is not ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event

Over = Callable[[], bool]
"""Whether a commit that has begun is over."""

Call = Callable[[Over], object]


@dataclass(slots=True)
class _Waiting:
    """What waits for one connection's commit: each call, and how deep it stands.

    ``depth`` counts savepoints from where the first call stood. SQLAlchemy does not
    tell of those that end with an outer one; then a call waits on that could go, and
    never one goes that should wait.
    """

    depth: int = 0
    calls: list[tuple[int, Call]] = field(default_factory=list)

    def clear(self) -> None:
        self.depth = 0
        self.calls = []


_all: WeakKeyDictionary[Connection, _Waiting] = WeakKeyDictionary()


def on_commit(connection: Connection, call: Call) -> None:
    """Have ``call`` called once, as the present transaction of ``connection`` commits.

    That is at the beginning of the commit, for SQLAlchemy does not tell of its end on a
    connection; ``call`` is given a function that tells when it is over. A rollback, be
    it to a savepoint, forgets the calls that it takes back.
    """
    waiting = _all.get(connection)
    if waiting is None:
        waiting = _all[connection] = _Waiting()
        for name, listener in _LISTENERS.items():
            event.listen(connection, name, listener)
    waiting.calls.append((waiting.depth, call))


def _committing(connection: Connection) -> None:
    waiting, transaction = _all[connection], connection.get_transaction()
    calls = waiting.calls
    waiting.clear()
    for _, call in calls:
        call(lambda: transaction is None or not transaction.is_active)


def _rolled_back(connection: Connection) -> None:
    _all[connection].clear()


def _deeper(connection: Connection, _name: str | None) -> None:
    _all[connection].depth += 1


def _released(connection: Connection, _name: str, _context: None) -> None:
    waiting = _all[connection]
    waiting.depth -= 1
    waiting.calls = [(min(deep, waiting.depth), call) for deep, call in waiting.calls]


def _rolled_back_to(connection: Connection, _name: str, _context: None) -> None:
    waiting = _all[connection]
    waiting.depth -= 1
    waiting.calls = [one for one in waiting.calls if one[0] <= waiting.depth]


_LISTENERS: dict[str, Callable[..., None]] = {
    "commit": _committing,
    "rollback": _rolled_back,
    "savepoint": _deeper,
    "release_savepoint": _released,
    "rollback_savepoint": _rolled_back_to,
}
