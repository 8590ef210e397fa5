"""Which pending messages of a lane come next.

They wait in queues: one for each tag whose concurrency is limited, and one, "", for all
other mail. So messages that may not be claimed now never delay the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.engine import Row

from .schema import PENDING, message

DEFAULT_QUEUE = ""
"""The queue of all mail whose tag has no concurrency limit."""

ABOVE_ALL = 32_767
"""Above every priority: the end of SMALLINT."""


class Due(NamedTuple):
    """A locked message that is due."""

    id: str
    size_bytes: int
    lease_token: int
    """The token of its last lease; 0 if it was never leased."""


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
    select(*message.c["id", "priority", "due_at", "size_bytes", "lease_token"])
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
    select(*message.c["id", "queue", "size_bytes", "lease_token"])
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
    """The default queue, and those with pending messages: one index seek each."""
    queue: str | None = DEFAULT_QUEUE
    while queue is not None:
        yield queue
        queue = connection.scalar(_NEXT_QUEUE, {"lane": lane, "above": queue})


def priorities(connection: Connection, lane: str, queue: str) -> Iterator[int]:
    """The priorities of pending messages, highest first: one index seek each."""
    below = ABOVE_ALL
    while True:
        given = {"lane": lane, "queue": queue, "below": below}
        found = connection.scalar(_NEXT_PRIORITY, given)
        if found is None:
            return
        yield found
        below = found


def lock_due(
    connection: Connection,
    lane: str,
    limit: int,
    now: float,
    room: Mapping[str, int],
    above: int | None = None,
) -> list[Due]:
    """Lock up to ``limit`` due messages: highest priority, then oldest.

    ``room`` limits how many come from a queue; ``above`` excludes it and all lower
    priorities.
    """
    found: list[Row[Any]] = []
    for queue in queues(connection, lane):
        wanted = min(limit, room.get(queue, limit))
        found += _due_in(connection, lane, queue, wanted, now, above)
    found.sort(key=lambda row: (-row.priority, row.due_at))
    return [_due(row) for row in found[:limit]]


def _due_in(
    connection: Connection,
    lane: str,
    queue: str,
    limit: int,
    now: float,
    above: int | None,
) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    if limit:
        for priority in priorities(connection, lane, queue):
            if above is not None and priority <= above:
                break
            given = {"lane": lane, "queue": queue, "priority": priority, "now": now}
            found += connection.execute(_DUE, {**given, "wanted": limit - len(found)})
            if len(found) >= limit:
                break
    return found


def lock_due_among(
    connection: Connection,
    lane: str,
    limit: int,
    now: float,
    room: Mapping[str, int],
    among: Sequence[str],
) -> list[Due]:
    """Lock as `lock_due` does, but only messages among these ids."""
    given = {"lane": lane, "among": among, "now": now, "wanted": limit}
    left = dict(room)
    found = []
    for row in connection.execute(_DUE_AMONG, given):
        if left.get(row.queue, limit) > 0:
            found.append(_due(row))
            left[row.queue] = left.get(row.queue, limit) - 1
    return found


_PRIORITIES = """
WITH RECURSIVE lanes (lane) AS (
  SELECT (SELECT m.lane FROM outbox_message m WHERE m.state = 'pending'
          ORDER BY m.lane LIMIT 1)
  UNION ALL
  SELECT (SELECT m.lane FROM outbox_message m
          WHERE m.state = 'pending' AND m.lane > lanes.lane
          ORDER BY m.lane LIMIT 1)
  FROM lanes WHERE lanes.lane IS NOT NULL
), queues (lane, queue) AS (
  SELECT lane, (SELECT m.queue FROM outbox_message m
                WHERE m.state = 'pending' AND m.lane = lanes.lane
                ORDER BY m.queue LIMIT 1)
  FROM lanes WHERE lane IS NOT NULL
  UNION ALL
  SELECT lane, (SELECT m.queue FROM outbox_message m
                WHERE m.state = 'pending' AND m.lane = queues.lane
                  AND m.queue > queues.queue
                ORDER BY m.queue LIMIT 1)
  FROM queues WHERE queue IS NOT NULL
), priorities (lane, queue, priority) AS (
  SELECT lane, queue, (SELECT m.priority FROM outbox_message m
                       WHERE m.state = 'pending' AND m.lane = queues.lane
                         AND m.queue = queues.queue
                       ORDER BY m.priority LIMIT 1)
  FROM queues WHERE queue IS NOT NULL
  UNION ALL
  SELECT lane, queue, (SELECT m.priority FROM outbox_message m
                       WHERE m.state = 'pending' AND m.lane = priorities.lane
                         AND m.queue = priorities.queue
                         AND m.priority > priorities.priority
                       ORDER BY m.priority LIMIT 1)
  FROM priorities WHERE priority IS NOT NULL
)"""
"""The lanes, queues and priorities of pending messages: a few seeks in the index
``outbox_message_due`` for each, however many messages these are."""

_NEXT_DUE_BY_LANE = text(f"""{_PRIORITIES}, due (lane, due_at) AS (
  SELECT lane, (SELECT m.due_at FROM outbox_message m
                WHERE m.state = 'pending' AND m.lane = priorities.lane
                  AND m.queue = priorities.queue
                  AND m.priority = priorities.priority
                ORDER BY m.due_at LIMIT 1)
  FROM priorities WHERE priority IS NOT NULL
)
SELECT lane, MIN(due_at) FROM due WHERE due_at IS NOT NULL GROUP BY lane
""")  # noqa: S608 (of constants)


def _up_to_limit(time: str) -> str:
    """How many messages of a priority there are; ``enough`` if it is more than
    ``most``.
    """
    those = f"""FROM outbox_message m
        WHERE m.state = 'pending' AND m.lane = priorities.lane
          AND m.queue = priorities.queue AND m.priority = priorities.priority
          AND m.due_at {time} :now"""
    return f"""CASE
      WHEN (SELECT m.due_at {those} ORDER BY m.due_at LIMIT 1 OFFSET :most) IS NOT NULL
      THEN :enough ELSE (SELECT COUNT(*) {those}) END"""


_PENDING_BY_LANE = text(f"""{_PRIORITIES}, counts (lane, due, later) AS (
  SELECT lane, {_up_to_limit("<=")}, {_up_to_limit(">")}
  FROM priorities WHERE priority IS NOT NULL
)
SELECT lane, SUM(due), SUM(later) FROM counts GROUP BY lane
""")  # noqa: S608 (of constants)

_WITHOUT_COMPILING = text("SET LOCAL jit = off")
"""PostgreSQL overestimates recursive statements, and would compile this one for a third
of a second each time; it takes a millisecond."""


def next_due_by_lane(connection: Connection) -> dict[str, float]:
    """When the next message of each lane with pending messages is due, in epoch
    seconds.
    """
    _do_not_compile(connection)
    return {lane: float(at) for lane, at in connection.execute(_NEXT_DUE_BY_LANE)}


class Pending(NamedTuple):
    """How many messages of a lane are pending."""

    due: int
    later: int


def pending_by_lane(
    connection: Connection, now: float, most: int
) -> dict[str, Pending]:
    """How many messages of each lane are pending.

    Those of one queue and priority are counted no further than ``most`` + 1.
    """
    _do_not_compile(connection)
    given = {"now": now, "most": most, "enough": most + 1}
    return {
        lane: Pending(int(due), int(later))
        for lane, due, later in connection.execute(_PENDING_BY_LANE, given)
    }


def _do_not_compile(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_WITHOUT_COMPILING)


def _due(row: Row[Any]) -> Due:
    return Due(row.id, row.size_bytes, row.lease_token)


def next_due_at(
    connection: Connection, lane: str, full: Collection[str] = ()
) -> float | None:
    """When the next pending message of ``lane`` is due, in epoch seconds, if any.

    Ignores those in ``full`` queues.
    """
    times = [
        connection.scalar(_NEXT_DUE, {**given, "priority": priority})
        for queue in queues(connection, lane)
        if queue not in full
        for given in [{"lane": lane, "queue": queue}]
        for priority in priorities(connection, lane, queue)
    ]
    return min((at for at in times if at is not None), default=None)
