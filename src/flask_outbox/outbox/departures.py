"""Departures: messages on their way to another outbox, as the one that they leave knows
them. Until they have arrived there, no courier and no person touches them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, update

from ..delivery import State
from .enqueue import add_events, event_row
from .records import Batch
from .schema import PENDING, departure, message

BATCH_MESSAGES = 200
"""Messages that depart together at most: nobody waits long for the write lock."""

BATCH_BYTES = 8_000_000
"""Bytes of content that depart together at most; a larger message departs alone."""


def depart(
    connection: Connection, move: str, number: int, heading_to: str, now: float
) -> None:
    """Let the next messages depart.

    What waits comes before what is finished; of that the newest, which people ask for,
    comes first. What is leased stays until its courier has recorded.
    """
    leaving = (
        _next(connection, _WAITING)
        or _next(connection, _PAUSED)
        or _next(connection, _FINISHED)
    )
    if leaving:
        connection.execute(
            departure.insert(),
            [
                {
                    "message_id": row.id,
                    "move": move,
                    "batch": number,
                    "state": row.state,
                    "heading_to": heading_to,
                    "departed_at": now,
                }
                for row in leaving
            ],
        )
        _set_moving(connection, [row.id for row in leaving])


_LEAVING = (
    select(*message.c["id", "state", "size_bytes"])
    .limit(BATCH_MESSAGES)
    .with_for_update(skip_locked=True)
)
_WAITING = _LEAVING.where(message.c.state == PENDING).order_by(message.c.id)
_PAUSED = _LEAVING.where(message.c.state == State.PAUSED.value).order_by(message.c.id)
_FINISHED = _LEAVING.where(
    message.c.finished_at.is_not(None), message.c.state != State.MOVING.value
).order_by(message.c.finished_at.desc())


def _next(connection: Connection, wanted: Select[Any]) -> list[Row[Any]]:
    return list(_fitting(connection.execute(wanted).all()))


def _fitting(rows: Iterable[Row[Any]]) -> Iterator[Row[Any]]:
    """The first of ``rows`` that fit into a batch; at least one."""
    size_bytes = 0
    for row in rows:
        size_bytes += row.size_bytes
        if size_bytes > max(BATCH_BYTES, row.size_bytes):
            return
        yield row


def _set_moving(connection: Connection, ids: list[str]) -> None:
    connection.execute(
        update(message)
        .where(message.c.id.in_(ids))
        .values(state=State.MOVING.value, lease_owner=None)
    )


def let_go(connection: Connection, batch: Batch) -> None:
    """Delete the messages of a batch, which has arrived."""
    ids = [row.message_id for row in _departed(connection, batch)]
    connection.execute(delete(message).where(message.c.id.in_(ids)))


def take_back(connection: Connection, batch: Batch, now: float) -> None:
    """Make the messages of a batch, which will never arrive, what they were."""
    departed = _departed(connection, batch)
    for state in {row.state for row in departed}:
        ids = [row.message_id for row in departed if row.state == state]
        connection.execute(
            update(message).where(message.c.id.in_(ids)).values(state=state)
        )
        connection.execute(delete(departure).where(departure.c.message_id.in_(ids)))
        add_events.run_many(
            connection,
            [event_row(one, now, "stayed", heading_to=batch.heading_to) for one in ids],
        )


def _departed(connection: Connection, batch: Batch) -> list[Row[Any]]:
    wanted = select(*departure.c["message_id", "state"]).where(in_batch(batch))
    return list(connection.execute(wanted.with_for_update()))


def in_batch(batch: Batch) -> Any:
    """The condition that a departure belongs to ``batch``."""
    return (departure.c.move == batch.move) & (departure.c.batch == batch.number)
