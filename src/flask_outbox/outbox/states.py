"""The states of a message: which may follow which, and what changes them.

Each change names the states that it starts from. One that `NEXT` does not allow is
refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Update, update

from ..delivery import State
from .schema import message
from .statements import Row, RowsUpdate

FINISHED = frozenset(one for one in State if one.final)

NEXT: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.PENDING, State.LEASED, State.PAUSED, State.CANCELLED, State.MOVING}
    ),
    State.LEASED: FINISHED | {State.PENDING, State.PAUSED},
    State.PAUSED: frozenset({State.PENDING, State.CANCELLED, State.MOVING}),
    State.SENT: frozenset({State.MOVING}),
    State.FAILED: frozenset({State.PENDING, State.MOVING}),
    State.UNKNOWN: frozenset({State.PENDING, State.CANCELLED, State.MOVING}),
    State.CANCELLED: frozenset({State.PENDING, State.MOVING}),
    State.SUPPRESSED: frozenset({State.PENDING, State.MOVING}),
    State.MOVING: FINISHED | {State.PENDING, State.PAUSED},
}
"""The states that may follow each. *Pending* may follow itself: it is due earlier."""


class ForbiddenTransition(ValueError):
    """A mistake in this package: a change that `NEXT` does not allow."""

    def __init__(self, source: State, target: str) -> None:
        super().__init__(f"A message that is {source} cannot become {target}.")


def transition(sources: Collection[State], target: State, **values: Any) -> Update:
    """An update from any of ``sources`` to ``target``, which also sets ``values``.

    It changes no message that is in another state; the caller restricts it further.
    Raises `ForbiddenTransition`.
    """
    for source in sources:
        if target not in NEXT[source]:
            raise ForbiddenTransition(source, target)
    return (
        update(message)
        .where(message.c.state.in_([one.value for one in sources]))
        .values(state=target.value, **values)
    )


class RowsTransition(RowsUpdate):
    """An update of many messages from ``source``, each to a state of its own.

    The caller has locked the messages and seen that they are in ``source``. Each row
    has an ``id``, a ``state`` and the other ``values``.
    """

    def __init__(self, source: State, values: Sequence[str]) -> None:
        super().__init__(message, keys=("id",), values=("state", *values))
        self._source = source
        self._allowed = frozenset(one.value for one in NEXT[source])

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Update ``rows``, or raise `ForbiddenTransition` with none updated."""
        for row in rows:
            if row["state"] not in self._allowed:
                raise ForbiddenTransition(self._source, row["state"])
        super().run(connection, rows)
