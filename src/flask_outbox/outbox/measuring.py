"""Measurements for monitoring: exact, and no slower for finished messages.

Messages that wait are counted in an index, and what was finished is read from totals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from ..alerts import AlertKind, AlertRules
from ..counters import Counters
from ..delivery import State
from ..feedback import Fate
from . import read, stats, tally
from .schema import PENDING, message, suppression

COUNTED = (State.LEASED, State.PAUSED, State.MOVING, State.UNKNOWN)
"""The states, beside *pending*, in which messages wait for something."""


class Waiting(NamedTuple):
    """The pending messages of a lane."""

    due: int
    later: int
    oldest_due_at: float | None
    """Epoch seconds; None if none is due."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """An outbox as it was at one moment, and what was ever counted in it.

    Numbers and the names of lanes: nothing of any message or recipient.
    """

    at: float
    """Epoch seconds."""
    states: Mapping[State, int]
    """How many messages are *pending* or in one of `COUNTED`."""
    waiting: Mapping[str, Waiting]
    """The lanes with pending messages."""
    paused: Mapping[str, str]
    """The paused lanes, and by what: ``"person"`` or ``"trouble"``."""
    couriers: Mapping[str, int]
    """How many couriers are alive, by engine."""
    attempts: Counters
    """How all attempts ended."""
    attempts_by_lane: Mapping[str, Counters]
    """Those on each of the lanes that were asked for."""
    suppressions: Mapping[str, int]
    """By source."""
    reports: Mapping[Fate, int]
    """How many reports were ever received."""
    unmatched_reports: int
    """How many wait for their message."""
    alerts: Mapping[AlertKind, int]
    """How many alerts of each kind last."""


def measure(
    connection: Connection, now: float, lanes: Collection[str], rules: AlertRules
) -> Measurements:
    """Read all measurements, and the attempts on each of ``lanes``."""
    waiting = _waiting(connection, now)
    attempts, by_lane = stats.totals(connection, lanes)
    pending = sum(one.due + one.later for one in waiting.values())
    return Measurements(
        at=now,
        states={State.PENDING: pending, **_in_states(connection)},
        waiting=waiting,
        paused={
            one.name: one.paused_by
            for one in read.lane_records(connection, {}, {})
            if one.paused_by
        },
        couriers=Counter(
            one.engine for one in read.couriers(connection, now) if one.alive
        ),
        attempts=attempts,
        attempts_by_lane=by_lane,
        suppressions=_suppressions(connection),
        reports=tally.reports(connection),
        unmatched_reports=read.unmatched(connection),
        alerts=Counter(one.kind for one in read.alerts(connection, rules)),
    )


def _waiting(connection: Connection, now: float) -> dict[str, Waiting]:
    due = message.c.due_at <= now
    rows = connection.execute(
        select(
            message.c.lane,
            func.count(),
            func.count(case((due, 1))),
            func.min(message.c.due_at),
        )
        .where(message.c.state == PENDING)
        .group_by(message.c.lane)
    )
    return {
        lane: Waiting(ready, number - ready, oldest if ready else None)
        for lane, number, ready, oldest in rows
    }


def _in_states(connection: Connection) -> dict[State, int]:
    rows = connection.execute(
        select(message.c.state, func.count())
        .where(message.c.state.in_([one.value for one in COUNTED]))
        .group_by(message.c.state)
    )
    found: dict[str, int] = dict(rows.all())
    return {state: found.get(state.value, 0) for state in COUNTED}


def _suppressions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        select(suppression.c.source, func.count()).group_by(suppression.c.source)
    )
    return {source: number for source, number in rows if source}
