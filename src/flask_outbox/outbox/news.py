"""News: whether anything happened since somebody looked, at the price of one seek."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from .schema import event


def news(connection: Connection, message_id: str | None) -> int:
    """A number that is another one once a step was added to a story.

    To that of one message, or, with None, to that of any. For one it is the number of
    its steps; for all it is the newest step's, and where several transactions end at
    once one may be told with the next.
    """
    if message_id is None:
        newest = select(func.max(event.c.id))
        return connection.scalar(newest) or 0
    steps = select(func.count()).where(event.c.message_id == message_id)
    return connection.scalar(steps) or 0
