"""Arrivals: which batches of which moves have come to this outbox. Whatever becomes of
their messages here, none is taken in twice.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from .records import Batch
from .schema import arrival


def expect(connection: Connection, move: str, came_from: str, now: float) -> None:
    """Announce a move, before anything departs to here."""
    connection.execute(
        arrival.insert().values(move=move, batch=0, came_from=came_from, begun_at=now)
    )


def knows(connection: Connection, move: str) -> bool:
    """Whether a move was announced here, and not called off."""
    wanted = select(arrival.c.move).where(arrival.c.move == move)
    return connection.scalar(wanted) is not None


def has(connection: Connection, batch: Batch) -> bool:
    """Whether a batch has arrived."""
    last = connection.scalar(
        select(arrival.c.batch).where(arrival.c.move == batch.move)
    )
    return last is not None and last >= batch.number


def take_in(connection: Connection, batch: Batch) -> bool:
    """Write down that a batch arrives; False when it has before, or may not."""
    taken = connection.execute(
        update(arrival)
        .where(arrival.c.move == batch.move, arrival.c.batch < batch.number)
        .values(batch=batch.number)
    )
    return taken.rowcount == 1


def call_off(connection: Connection, batch: Batch) -> bool:
    """Have a batch never arrive; False when it has."""
    connection.execute(
        delete(arrival).where(
            arrival.c.move == batch.move, arrival.c.batch < batch.number
        )
    )
    return not has(connection, batch)


def forget(connection: Connection, move: str) -> None:
    """Forget a move of which nothing is under way."""
    connection.execute(delete(arrival).where(arrival.c.move == move))
