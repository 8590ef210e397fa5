"""How many reports were ever received, by fate: also those that are pruned."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import Connection, func, select, update

from ..feedback import Fate
from .enqueue import as_json
from .ids import LOWEST, id_at
from .schema import feedback, tally
from .statements import RowsInsert, run_together

NAME = "feedback"

COUNTED_AFTER_SECONDS = 600.0
"""Age at which reports are counted: by then, whoever stored one has committed it."""

COUNTED_AT_ONCE = 5_000

_begin = RowsInsert(tally, "name", "counted_to", "counts", skip_present=True)


def count_on(connection: Connection, now: float) -> bool:
    """Count some of the reports that are not; return whether there may be more."""
    first = [(NAME, LOWEST, as_json({}))]
    run_together(connection, _begin.statements(connection, first))
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


def reports(connection: Connection) -> dict[Fate, int]:
    """How many reports of each fate were ever received, pruned ones too."""
    kept = connection.execute(select(tally).where(tally.c.name == NAME)).first()
    counts = Counter(json.loads(kept.counts) if kept else {})
    since = select(feedback.c.fate, func.count()).where(
        feedback.c.id > (kept.counted_to if kept else LOWEST)
    )
    for fate, number in connection.execute(since.group_by(feedback.c.fate)):
        counts[fate] += number
    return {fate: counts[fate.value] for fate in Fate}
