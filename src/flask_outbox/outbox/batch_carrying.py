"""Batches are carried along when an outbox moves: how far each came, who stopped it."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from .conflicts import write
from .ids import LOWEST
from .schema import batch
from .store import Outbox

AT_A_TIME = 500
"""How many batches are carried in one transaction."""

Values = dict[str, Any]

_PROGRESS = ("kept", "total", "digest", "process", "kept_at", "error")
"""What changes as the hand-over of a batch goes on."""

_ENDS = ("ended_at", "paused_at", "cancelled_at")


def carry_batches(source: Outbox, target: Outbox) -> None:
    """Have ``target`` know how far each batch has come, so that it can go on there.

    What a person has stopped is stopped there too. Where a batch is known there, what
    came later holds.
    """
    after = LOWEST
    while rows := _after(source, after):
        write(target.database, partial(_write_all, rows=rows))
        after = rows[-1]["id"]


def _after(source: Outbox, after: str) -> list[Values]:
    wanted = select(batch).where(batch.c.id > after).order_by(batch.c.id)
    with source.database.reading() as connection:
        rows = connection.execute(wanted.limit(AT_A_TIME)).mappings()
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
            connection.execute(
                update(batch).where(batch.c.id == row["id"]).values(**changes)
            )


def _add(connection: Connection, row: Values) -> None:
    """Another batch that has the same key there keeps it."""
    taken = connection.scalar(select(batch.c.id).where(batch.c.key == row["key"]))
    connection.execute(batch.insert().values({**row, "key": None} if taken else row))


def _changes(known: Values, row: Values) -> Values:
    further = _PROGRESS if row["kept_at"] > known["kept_at"] else ()
    ended = (one for one in _ENDS if known[one] is None and row[one] is not None)
    return {name: row[name] for name in (*further, *ended)}
