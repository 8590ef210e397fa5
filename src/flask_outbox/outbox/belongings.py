"""Belongings: what an outbox has beside its messages, carried along when it moves."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, select, update

from ..tally import KINDS
from . import doorbell, pulse
from .conflicts import write
from .ids import ID_LENGTH
from .schema import lane
from .schema import pulse as pulses
from .store import Outbox

AT_A_TIME = 500
"""How many rows are carried in one transaction."""

Values = dict[str, Any]


def carry_lanes(source: Outbox, target: Outbox) -> None:
    """Pause in ``target`` what a person has paused, and keep to used-up limits.

    Where that is so already, or a limit is used there, it stays as it is.
    """
    wanted = select(*lane.c["name", "held_at", "held_reason", "taken"])
    with source.database.reading() as connection:
        rows = [dict(row) for row in connection.execute(wanted).mappings()]

    def work(connection: Connection) -> None:
        for row in rows:
            _write_lane(connection, row)
        doorbell.ring(connection, doorbell.LANES)

    write(target.database, work)


def _write_lane(connection: Connection, row: Values) -> None:
    present = connection.execute(
        select(*lane.c["held_at", "taken"]).where(lane.c.name == row["name"])
    ).first()
    if present is None:
        connection.execute(lane.insert().values(**row))
        return
    changes: Values = {}
    if present.held_at is None and row["held_at"] is not None:
        changes = {name: row[name] for name in ("held_at", "held_reason")}
    if present.taken is None and row["taken"] is not None:
        changes["taken"] = row["taken"]
    if changes:
        connection.execute(
            update(lane).where(lane.c.name == row["name"]).values(**changes)
        )


def carry_suppressions(source: Outbox, target: Outbox) -> None:
    """Have nobody mailed from ``target`` who must not be mailed from ``source``."""
    every = source.suppressions()
    while some := list(islice(every, AT_A_TIME)):
        target.suppress_all(some)


def carry_pulse(source: Outbox, target: Outbox) -> None:
    """Move what couriers have counted so far: statistics, not the truth."""
    while _carry_some_pulse(source, target):
        pass


def _carry_some_pulse(source: Outbox, target: Outbox) -> bool:
    with source.database.reading() as connection:
        rows = connection.execute(select(pulses).limit(AT_A_TIME)).mappings().all()
    merged = _merged_courier(source)
    renamed = [{**row, "courier": row["courier"] or merged} for row in rows]
    write(target.database, lambda conn: pulse.write(conn, renamed))
    write(
        source.database, lambda conn: _forget_pulse(conn, [dict(row) for row in rows])
    )
    return bool(rows)


def _merged_courier(source: Outbox) -> str:
    """Who counted what is merged there: it must not replace what is merged here."""
    return hashlib.sha256(source.database.shown.encode()).hexdigest()[:ID_LENGTH]


def _forget_pulse(connection: Connection, rows: list[Values]) -> None:
    """Delete what has been carried, unless more was counted since."""
    for row in rows:
        same = [pulses.c[one] == row[one] for one in ("at", "courier", "lane", *KINDS)]
        connection.execute(delete(pulses).where(*same))
