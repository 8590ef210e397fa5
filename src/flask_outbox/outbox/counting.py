"""Counting what people see at every look: exact while that is cheap, and never long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    func,
    literal_column,
    select,
)

from ..delivery import State
from .asking import couriers, lane_records
from .schema import PENDING, message
from .searches import COUNT_LIMIT, Count, Glance, Tab
from .waiting import priorities, queues


def glance(connection: Connection, now: float) -> Glance:
    """The outbox at a glance, however much is in it."""
    due, scheduled = (_pending(connection, now, due=due) for due in (True, False))
    waiting = {name: due[name] + scheduled[name] for name in due}
    return Glance(
        counts=_counts(connection, due, scheduled),
        lanes=tuple(lane_records(connection, waiting, due)),
        couriers=couriers(connection, now),
    )


def counts(connection: Connection, now: float) -> Mapping[Tab, Count]:
    """How many messages are in each tab."""
    due, scheduled = (_pending(connection, now, due=due) for due in (True, False))
    return _counts(connection, due, scheduled)


def _counts(
    connection: Connection, due: Mapping[str, int], scheduled: Mapping[str, int]
) -> Mapping[Tab, Count]:
    pending = {Tab.WAITING: due, Tab.SCHEDULED: scheduled}
    return {
        tab: Count.of(
            sum(pending[tab].values())
            if tab in pending
            else _in_state(connection, tab.state)
        )
        for tab in Tab
    }


def _in_state(connection: Connection, state: State) -> int:
    """Messages in ``state``, counted along the index, until they are too many."""
    return _up_to_limit(
        connection, message.c.state == state.value, order=message.c.id.desc()
    )


def _pending(connection: Connection, now: float, *, due: bool) -> dict[str, int]:
    """By lane, the pending messages that are due, or those that are not yet."""
    time = message.c.due_at <= now if due else message.c.due_at > now
    return {
        lane: sum(
            _up_to_limit(
                connection,
                message.c.state == PENDING,
                message.c.lane == lane,
                message.c.queue == queue,
                message.c.priority == priority,
                time,
                order=message.c.due_at,
            )
            for queue in queues(connection, lane)
            for priority in priorities(connection, lane, queue)
        )
        for lane in _lanes(connection)
    }


def _lanes(connection: Connection) -> Iterator[str]:
    """The lanes on which messages are pending: one index seek each."""
    wanted = select(func.min(message.c.lane)).where(message.c.state == PENDING)
    found = connection.scalar(wanted)
    while found is not None:
        yield found
        found = connection.scalar(wanted.where(message.c.lane > found))


def _up_to_limit(
    connection: Connection, *which: ColumnElement[bool], order: ColumnElement[object]
) -> int:
    """How many there are, or one more than `COUNT_LIMIT`."""
    some: Select[Any] = (
        select(literal_column("1"))
        .select_from(message)
        .where(*which)
        .order_by(order)
        .limit(COUNT_LIMIT + 1)
    )
    return connection.scalar(select(func.count()).select_from(some.subquery())) or 0
