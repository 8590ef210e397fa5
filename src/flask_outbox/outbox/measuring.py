"""Measurements for monitoring, as fast with millions of messages as with none.

What was finished is read from totals, how much waits from the `backlog`, and how many
reports were ever received, pruned ones too, from a tally that is kept of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from ..alerts import AlertKind, AlertRules
from ..counters import Counters
from ..feedback import Fate
from . import read, stats
from .backlog import Backlog, begin_tally
from .enqueue import as_json
from .ids import LOWEST, id_at
from .schema import feedback, suppression, tally

NAME = "feedback"
"""The name of the row with the tally of reports."""

COUNTED_AFTER_SECONDS = 600.0
"""Age at which reports are counted: by then, whoever stored one has committed it."""

COUNTED_AT_ONCE = 5_000


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
        reports=_reports(connection),
        unmatched_reports=read.unmatched(connection),
        alerts=Counter(one.kind for one in read.alerts(connection, rules)),
    )


def _suppressions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        select(suppression.c.source, func.count()).group_by(suppression.c.source)
    )
    return {source: number for source, number in rows if source}


def count_reports(connection: Connection, now: float) -> bool:
    """Count some of the reports that are not; return whether there may be more."""
    begin_tally(connection, NAME, LOWEST, as_json({}))
    kept = connection.execute(
        select(tally).where(tally.c.name == NAME).with_for_update()
    ).one()
    rows = connection.execute(
        select(feedback.c.id, feedback.c.fate)
        .where(
            feedback.c.id > kept.counted_to,
            feedback.c.id < id_at(now - COUNTED_AFTER_SECONDS),
        )
        .order_by(feedback.c.id)
        .limit(COUNTED_AT_ONCE)
    ).all()
    if rows:
        counts = Counter(json.loads(kept.counts))
        counts.update(row.fate for row in rows)
        connection.execute(
            update(tally)
            .where(tally.c.name == NAME)
            .values(counted_to=rows[-1].id, counts=as_json(counts))
        )
    return len(rows) == COUNTED_AT_ONCE


def _reports(connection: Connection) -> dict[Fate, int]:
    """How many reports of each fate were ever received, pruned ones too."""
    kept = connection.execute(select(tally).where(tally.c.name == NAME)).first()
    counts = Counter(json.loads(kept.counts) if kept else {})
    since = select(feedback.c.fate, func.count()).where(
        feedback.c.id > (kept.counted_to if kept else LOWEST)
    )
    for fate, number in connection.execute(since.group_by(feedback.c.fate)):
        counts[fate] += number
    return {fate: counts[fate.value] for fate in Fate}
