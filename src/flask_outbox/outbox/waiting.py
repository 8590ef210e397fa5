"""Waiting: which pending messages of a lane come next.

They wait in queues: one for each tag whose concurrency is bounded, and one, "", for all
other mail. So what may not be taken now is in nobody's way, however much it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.engine import Row

from .schema import PENDING, message

USUAL = ""
"""The queue of all mail whose tag is not bounded."""

ABOVE_ALL = 32_767
"""Above every priority: the end of SMALLINT."""

_NEXT_QUEUE = select(func.min(message.c.queue)).where(
    message.c.state == PENDING,
    message.c.lane == bindparam("lane"),
    message.c.queue > bindparam("above"),
)

_NEXT_PRIORITY = select(func.max(message.c.priority)).where(
    message.c.state == PENDING,
    message.c.lane == bindparam("lane"),
    message.c.queue == bindparam("queue"),
    message.c.priority < bindparam("below"),
)

_DUE = (
    select(*message.c["id", "priority", "due_at"])
    .where(
        message.c.state == PENDING,
        message.c.lane == bindparam("lane"),
        message.c.queue == bindparam("queue"),
        message.c.priority == bindparam("priority"),
        message.c.due_at <= bindparam("now"),
    )
    .order_by(message.c.due_at)
    .limit(bindparam("wanted"))
    .with_for_update(skip_locked=True)
)

_DUE_AMONG = (
    select(*message.c["id", "queue"])
    .where(
        message.c.id.in_(bindparam("among", expanding=True)),
        message.c.state == PENDING,
        message.c.lane == bindparam("lane"),
        message.c.due_at <= bindparam("now"),
    )
    .order_by(message.c.priority.desc(), message.c.due_at)
    .limit(bindparam("wanted"))
    .with_for_update(skip_locked=True)
)

_NEXT_DUE = select(func.min(message.c.due_at)).where(
    message.c.state == PENDING,
    message.c.lane == bindparam("lane"),
    message.c.queue == bindparam("queue"),
    message.c.priority == bindparam("priority"),
)


def queues(connection: Connection, lane: str) -> Iterator[str]:
    """The queues in which messages may be pending: one index seek each."""
    queue: str | None = USUAL
    while queue is not None:
        yield queue
        queue = connection.scalar(_NEXT_QUEUE, {"lane": lane, "above": queue})


def priorities(connection: Connection, lane: str, queue: str) -> Iterator[int]:
    """The priorities that pending messages have, from the top: one index seek each."""
    below = ABOVE_ALL
    while True:
        given = {"lane": lane, "queue": queue, "below": below}
        found = connection.scalar(_NEXT_PRIORITY, given)
        if found is None:
            return
        yield found
        below = found


def due_ids(
    connection: Connection, lane: str, limit: int, now: float, room: Mapping[str, int]
) -> list[str]:
    """Lock up to ``limit`` due messages: highest priority, then oldest.

    Of a queue in ``room`` no more than it says.
    """
    found: list[Row[Any]] = []
    for queue in queues(connection, lane):
        wanted = min(limit, room.get(queue, limit))
        found += _due_in(connection, lane, queue, wanted, now)
    found.sort(key=lambda row: (-row.priority, row.due_at))
    return [row.id for row in found[:limit]]


def _due_in(
    connection: Connection, lane: str, queue: str, limit: int, now: float
) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    if limit:
        for priority in priorities(connection, lane, queue):
            given = {"lane": lane, "queue": queue, "priority": priority, "now": now}
            found += connection.execute(_DUE, {**given, "wanted": limit - len(found)})
            if len(found) >= limit:
                break
    return found


def due_among(
    connection: Connection,
    lane: str,
    limit: int,
    now: float,
    room: Mapping[str, int],
    among: Sequence[str],
) -> list[str]:
    """What `due_ids` would lock if there were no other messages than these."""
    given = {"lane": lane, "among": among, "now": now, "wanted": limit}
    left = dict(room)
    ids = []
    for row in connection.execute(_DUE_AMONG, given):
        if left.get(row.queue, limit) > 0:
            ids.append(row.id)
            left[row.queue] = left.get(row.queue, limit) - 1
    return ids


def next_due_at(
    connection: Connection, lane: str, full: Collection[str] = ()
) -> float | None:
    """When the next pending message of ``lane`` comes due; None without any.

    Those in ``full`` queues are passed over.
    """
    times = [
        connection.scalar(_NEXT_DUE, {**given, "priority": priority})
        for queue in queues(connection, lane)
        if queue not in full
        for given in [{"lane": lane, "queue": queue}]
        for priority in priorities(connection, lane, queue)
    ]
    return min((at for at in times if at is not None), default=None)
