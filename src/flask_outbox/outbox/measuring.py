"""Measurements for monitoring, as fast with millions of messages as with none.

What was finished is read from totals, and how much waits from the `backlog`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ..alerts import AlertKind, AlertRules
from ..counters import Counters
from ..feedback import Fate
from . import read, stats, tally
from .backlog import Backlog
from .schema import suppression


@dataclass(frozen=True, slots=True)
class Measurements:
    """An outbox as it was at one moment, and what was ever counted in it.

    Numbers and the names of lanes: nothing of any message or recipient.
    """

    at: float
    """Epoch seconds."""
    backlog: Backlog
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
    connection: Connection,
    now: float,
    backlog: Backlog,
    lanes: Collection[str],
    rules: AlertRules,
) -> Measurements:
    """Read all measurements beside ``backlog``, and the attempts on each of
    ``lanes``.
    """
    attempts, by_lane = stats.totals(connection, lanes)
    return Measurements(
        at=now,
        backlog=backlog,
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


def _suppressions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        select(suppression.c.source, func.count()).group_by(suppression.c.source)
    )
    return {source: number for source, number in rows if source}
