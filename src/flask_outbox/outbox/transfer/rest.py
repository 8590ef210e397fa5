"""Carries what an outbox has besides messages: batches, lanes, suppressions, stats."""

from __future__ import annotations

import hashlib
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, select, update

from ...events import ATTEMPT_ENDS
from .. import audit, notify, received, stats, suppressions
from ..ids import ID_LENGTH, LOWEST
from ..outbox import Outbox
from ..schema import audit as audit_table
from ..schema import batch, feedback, lane, pardon
from ..schema import stats as stats_table
from ..sealed import insert_sealed, query, same, seal

AT_A_TIME = 500
"""How many rows are carried in one transaction."""

Values = dict[str, Any]

_PROGRESS = ("rows_stored", "total", "digest", "process", "stored_at", "error")
"""Columns that change while a batch is being stored."""

_ENDS = ("ended_at", "paused_at", "cancelled_at")


def carry_batches(source: Outbox, target: Outbox) -> None:
    """Copy each batch's progress to ``target``, so that it can be continued there.

    A batch that was paused or cancelled is so in ``target`` too. If ``target`` knows
    a batch already, the later progress is kept.
    """
    after = LOWEST
    while rows := _after(source, after):
        target.database.write(partial(_write_all, rows=rows))
        after = rows[-1]["id"]


def _after(source: Outbox, after: str) -> list[Values]:
    wanted = select(batch).where(batch.c.id > after).order_by(batch.c.id)
    with source.database.reading() as connection:
        rows = query(connection, wanted.limit(AT_A_TIME), exactly=True).mappings()
        return [dict(row) for row in rows]


def _write_all(connection: Connection, rows: list[Values]) -> None:
    for row in rows:
        present = connection.execute(
            select(batch).where(batch.c.id == row["id"])
        ).mappings()
        known = present.first()
        if known is None:
            _add(connection, row)
        elif changes := _changes(dict(known), row):
            sealed = seal(connection, batch, row["id"], changes)
            connection.execute(
                update(batch).where(batch.c.id == row["id"]).values(sealed)
            )


def _add(connection: Connection, row: Values) -> None:
    """Insert a batch, without its key if another batch in the target has that key."""
    key = row["key"]
    has_it = batch.c.key == key if key is None else same(connection, batch.c.key, key)
    taken = connection.scalar(select(batch.c.id).where(has_it))
    insert_sealed(connection, batch, {**row, "key": None} if taken else row)


def _changes(known: Values, row: Values) -> Values:
    further = _PROGRESS if row["stored_at"] > known["stored_at"] else ()
    ended = (one for one in _ENDS if known[one] is None and row[one] is not None)
    return {name: row[name] for name in (*further, *ended)}


def carry_lanes(source: Outbox, target: Outbox) -> None:
    """Copy operators' pauses and used-up limits of lanes to ``target``.

    A pause or a limit that ``target`` has already stays unchanged.
    """
    wanted = select(*lane.c["name", "operator_paused_at", "operator_reason", "taken"])
    with source.database.reading() as connection:
        rows = [dict(row) for row in query(connection, wanted, exactly=True).mappings()]

    def work(connection: Connection) -> None:
        for row in rows:
            _write_lane(connection, row)
        notify.notify(connection, notify.LANES)

    target.database.write(work)


def _write_lane(connection: Connection, row: Values) -> None:
    present = connection.execute(
        select(*lane.c["operator_paused_at", "taken"]).where(lane.c.name == row["name"])
    ).first()
    if present is None:
        insert_sealed(connection, lane, row)
        return
    changes: Values = {}
    if present.operator_paused_at is None and row["operator_paused_at"] is not None:
        changes = {
            name: row[name] for name in ("operator_paused_at", "operator_reason")
        }
    if present.taken is None and row["taken"] is not None:
        changes["taken"] = row["taken"]
    if changes:
        sealed = seal(connection, lane, row["name"], changes)
        connection.execute(
            update(lane).where(lane.c.name == row["name"]).values(sealed)
        )


def carry_suppressions(source: Outbox, target: Outbox) -> None:
    """Copy all suppressions to ``target``, and when others were removed."""
    every = source.suppressions()
    while some := list(islice(every, AT_A_TIME)):
        target.suppress_all(some)
    with source.database.reading() as connection:
        found = query(connection, select(pardon), exactly=True).mappings()
        rows = [dict(row) for row in found]
    for start in range(0, len(rows), AT_A_TIME):
        part = rows[start : start + AT_A_TIME]
        target.database.write(partial(suppressions.write_pardons, rows=part))


def carry_feedback(source: Outbox, target: Outbox) -> None:
    """Copy what was reported, after the messages that it was about.

    So ``target`` knows a repetition, and applies what came before its message did.
    """
    after = LOWEST
    while rows := _reports_after(source, after):
        target.database.write(partial(received.copy, rows=rows))
        after = rows[-1]["id"]


def _reports_after(source: Outbox, after: str) -> list[Values]:
    wanted = select(feedback).where(feedback.c.id > after).order_by(feedback.c.id)
    with source.database.reading() as connection:
        rows = query(connection, wanted.limit(AT_A_TIME), exactly=True).mappings()
        return [dict(row) for row in rows]


def carry_audit(source: Outbox, target: Outbox) -> None:
    """Copy the audit trail, without what ``target`` has of it already."""
    after = LOWEST
    while rows := _lines_after(source, after):
        target.database.write(partial(audit.copy, rows=rows))
        after = rows[-1]["id"]


def _lines_after(source: Outbox, after: str) -> list[Values]:
    wanted = select(audit_table).where(audit_table.c.id > after)
    with source.database.reading() as connection:
        rows = connection.execute(wanted.order_by(audit_table.c.id).limit(AT_A_TIME))
        return [dict(row) for row in rows.mappings()]


def carry_stats(source: Outbox, target: Outbox) -> None:
    """Move the couriers' counts to ``target``; a crash between may count some twice.

    Totals stay: ``target`` has its own.
    """
    while _carry_some_stats(source, target):
        pass


def _carry_some_stats(source: Outbox, target: Outbox) -> bool:
    with source.database.reading() as connection:
        wanted = select(stats_table).where(stats_table.c.at > stats.EVER)
        rows = query(connection, wanted.limit(AT_A_TIME), exactly=True).mappings().all()
    merged = _merged_courier(source)
    renamed = [{**row, "courier": row["courier"] or merged} for row in rows]
    target.database.write(lambda conn: stats.write(conn, renamed))
    source.database.write(lambda conn: _forget_stats(conn, [dict(row) for row in rows]))
    return bool(rows)


def _merged_courier(source: Outbox) -> str:
    """A courier id for merged counts of ``source``, to keep them apart from others'."""
    return hashlib.sha256(source.database.shown.encode()).hexdigest()[:ID_LENGTH]


def _forget_stats(connection: Connection, rows: list[Values]) -> None:
    """Delete counts that were carried, except rows that have changed since."""
    for row in rows:
        same = [
            stats_table.c[one] == row[one]
            for one in ("at", "courier", "lane", *ATTEMPT_ENDS)
        ]
        connection.execute(delete(stats_table).where(*same))
