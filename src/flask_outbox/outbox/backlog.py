"""The backlog: messages that wait for something, counted by state and by lane.

A small backlog is counted whenever it is asked for. Counting a large one takes long, so
its counts are kept, for all processes, and counted anew once they are old.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select, update

from ..delivery import State
from .due import next_due_by_lane
from .enqueue import as_json
from .ids import id_at
from .schema import PENDING, message, tally
from .statements import RowsInsert, run_together

LARGE = 10_000
"""A backlog of more messages is large."""

OLD_SECONDS = 60.0
"""Age at which kept counts are no longer used."""

NAME = "backlog"
"""The name of the row that keeps the counts."""

OTHER_STATES = (State.LEASED, State.PAUSED, State.MOVING, State.UNKNOWN)
"""The states, beside *pending*, in which messages wait for something."""


class Waiting(NamedTuple):
    """The pending messages of a lane."""

    due: int
    later: int
    oldest_due_at: float | None
    """Epoch seconds; None if none is due."""


NOTHING_WAITS = Waiting(0, 0, None)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and for what."""

    counted_at: float
    """When they were counted, in epoch seconds."""
    states: Mapping[State, int]
    """How many are *pending* or in one of `OTHER_STATES`."""
    lanes: Mapping[str, Waiting]
    """The lanes with pending messages."""


_begin = RowsInsert(tally, "name", "counted_to", "counts", skip_present=True)


def look(
    connection: Connection, now: float, old_seconds: float
) -> tuple[Backlog, bool]:
    """The backlog, and whether it was counted anew and is to be kept (`keep`)."""
    found = known(connection, now, old_seconds)
    if found is not None:
        return found, False
    return counted(connection, now), True


def known(connection: Connection, now: float, old_seconds: float) -> Backlog | None:
    """The backlog, if it is small or its kept counts are younger than that.

    When the oldest message of a lane is due is that of now in any case.
    """
    backlog = _count(connection, now, LARGE + 1)
    if sum(backlog.states.values()) <= LARGE:
        return backlog
    found = connection.scalar(select(tally.c.counts).where(tally.c.name == NAME))
    kept = None if found is None else _from_json(found)
    if kept is None or abs(now - kept.counted_at) >= old_seconds:
        return None
    return replace(kept, lanes=_with_oldest(connection, kept.lanes, now))


def counted(connection: Connection, now: float) -> Backlog:
    """The backlog, each message counted."""
    return _count(connection, now, None)


def keep(connection: Connection, backlog: Backlog) -> None:
    """Keep these counts for all processes, in place of earlier ones."""
    at, counts = id_at(backlog.counted_at), _as_json(backlog)
    begin_tally(connection, NAME, at, counts)
    connection.execute(
        update(tally).where(tally.c.name == NAME).values(counted_to=at, counts=counts)
    )


def begin_tally(
    connection: Connection, name: str, counted_to: str, counts: str
) -> None:
    """Keep these counts under this name, unless there are some already."""
    row = (name, counted_to, counts)
    run_together(connection, _begin.statements(connection, [row]))


def _count(connection: Connection, now: float, limit: int | None) -> Backlog:
    """Count up to ``limit`` pending messages, and as many in other states."""
    lanes = _lanes(connection, now, limit)
    pending = sum(one.due + one.later for one in lanes.values())
    others = _other_states(connection, limit)
    return Backlog(now, {State.PENDING: pending, **others}, lanes)


def _lanes(connection: Connection, now: float, limit: int | None) -> dict[str, Waiting]:
    pending = select(message.c.lane, message.c.due_at).where(message.c.state == PENDING)
    some = pending.limit(limit).subquery().c
    rows = connection.execute(
        select(
            some.lane,
            func.count(),
            func.count(case((some.due_at <= now, 1))),
            func.min(some.due_at),
        ).group_by(some.lane)
    )
    return {
        lane: Waiting(ready, number - ready, oldest if ready else None)
        for lane, number, ready, oldest in rows
    }


def _other_states(connection: Connection, limit: int | None) -> dict[State, int]:
    states = [one.value for one in OTHER_STATES]
    others = select(message.c.state).where(message.c.state.in_(states))
    some = others.limit(limit).subquery().c
    rows = connection.execute(select(some.state, func.count()).group_by(some.state))
    found: dict[str, int] = dict(rows.all())
    return {state: found.get(state.value, 0) for state in OTHER_STATES}


def _with_oldest(
    connection: Connection, lanes: Mapping[str, Waiting], now: float
) -> dict[str, Waiting]:
    """The same counts, with the oldest due message of each lane as it is now."""
    next_due = next_due_by_lane(connection)
    due_at = {lane: at for lane, at in next_due.items() if at <= now}
    return {
        lane: lanes.get(lane, NOTHING_WAITS)._replace(oldest_due_at=due_at.get(lane))
        for lane in {**lanes, **due_at}
    }


def _as_json(backlog: Backlog) -> str:
    return as_json(
        {
            "at": backlog.counted_at,
            "states": backlog.states,
            "lanes": {
                lane: [one.due, one.later] for lane, one in backlog.lanes.items()
            },
        }
    )


def _from_json(text: str) -> Backlog:
    kept = json.loads(text)
    return Backlog(
        kept["at"],
        {State(state): number for state, number in kept["states"].items()},
        {
            lane: Waiting(due, later, None)
            for lane, (due, later) in kept["lanes"].items()
        },
    )
