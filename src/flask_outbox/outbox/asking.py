"""Asking: what the outbox knows of a message, of many, and of itself."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select
from sqlalchemy.engine import Row

from ..delivery import Reply, State
from ..message import stored
from ..story import Event, Stored, tell
from .couriers import is_gone
from .records import (
    Attempt,
    Batch,
    CourierRecord,
    LaneRecord,
    MessageRecord,
    Recipient,
    Status,
    Summary,
)
from .schema import (
    LEASED,
    PENDING,
    content,
    courier,
    departure,
    event,
    lane,
    message,
    recipient,
)


def moment(at: float) -> datetime:
    """Epoch seconds as an aware datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def _decoded(text: str | None) -> Any:
    return json.loads(text) if text else None


def get(connection: Connection, message_id: str) -> MessageRecord | None:
    """Everything about one message but its content."""
    row = connection.execute(
        select(message, content.c.metadata.label("given_metadata"), content.c.template)
        .outerjoin(content, content.c.message_id == message.c.id)
        .where(message.c.id == message_id)
    ).first()
    if row is None:
        return None
    origin = _decoded(row.origin)
    events = tell(message_id, origin, _events(connection, message_id))
    return MessageRecord(
        id=row.id,
        state=State(row.state),
        subject=row.subject,
        return_path=row.return_path,
        message_id=row.message_id,
        lane=row.lane,
        priority=row.priority,
        key=row.key,
        tag=row.tag,
        metadata=_decoded(row.given_metadata),
        origin=origin,
        size_bytes=row.size_bytes,
        enqueued_at=moment(row.enqueued_at),
        due_at=moment(row.due_at),
        recipients=_recipients(connection, message_id),
        attempts=_attempts(events),
        events=events,
        template=stored.template_of(row.template) if row.template else None,
        batch=row.batch,
        batch_row=row.batch_row,
    )


def _events(connection: Connection, message_id: str) -> list[Stored]:
    rows = connection.execute(
        select(*event.c["at", "kind", "detail"])
        .where(event.c.message_id == message_id)
        .order_by(event.c.at, event.c.id)
    )
    return [Stored(row.at, row.kind, _decoded(row.detail) or {}) for row in rows]


def _recipients(connection: Connection, message_id: str) -> tuple[Recipient, ...]:
    rows = connection.execute(
        select(recipient)
        .where(recipient.c.message_id == message_id)
        .order_by(recipient.c.position)
    )
    return tuple(Recipient(row.address, State(row.state), _reply(row)) for row in rows)


def _reply(row: Row[Any]) -> Reply | None:
    if row.reply_text is None:
        return None
    return Reply(row.reply_code, row.reply_enhanced, row.reply_text)


_ENDS = {"sent", "deferred", "failed", "unknown", "released", "rescued"}


def _attempts(events: Iterable[Event]) -> tuple[Attempt, ...]:
    """Pair each *began* with the event that ended it."""
    attempts: list[Attempt] = []
    for one in events:
        if one.kind == "began":
            number, courier_id = one.detail["attempt"], one.detail["courier"]
            attempts.append(Attempt(number, courier_id, one.at, None, None))
        elif one.kind in _ENDS and attempts and attempts[-1].outcome is None:
            attempts[-1] = replace(attempts[-1], ended_at=one.at, outcome=one.kind)
    return tuple(attempts)


def summaries(
    connection: Connection, state: State | None, limit: int, before: str | None
) -> list[Summary]:
    """The newest messages, of one state or all, older than the id ``before``."""
    wanted = select(message).order_by(message.c.id.desc()).limit(limit)
    if state is not None:
        wanted = wanted.where(message.c.state == state.value)
    if before is not None:
        wanted = wanted.where(message.c.id < before)
    return summaries_of(connection, connection.execute(wanted).all())


def summaries_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Summary]:
    """The line of a list for each of these rows of the message table."""
    addresses = _addresses(connection, [row.id for row in rows])
    return [
        Summary(
            id=row.id,
            state=State(row.state),
            subject=row.subject,
            recipients=tuple(addresses[row.id]),
            tag=row.tag,
            lane=row.lane,
            attempts=row.attempts,
            enqueued_at=moment(row.enqueued_at),
            due_at=moment(row.due_at),
        )
        for row in rows
    ]


def _addresses(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {one: [] for one in ids}
    rows = connection.execute(
        select(*recipient.c["message_id", "address"])
        .where(recipient.c.message_id.in_(ids))
        .order_by(recipient.c.message_id, recipient.c.position)
    )
    for row in rows:
        found[row.message_id].append(row.address)
    return found


def status(connection: Connection, now: float) -> Status:
    """Counts by state, what is due, and the health of lanes and couriers."""
    counts = dict.fromkeys(State, 0)
    for state, count in connection.execute(
        select(message.c.state, func.count()).group_by(message.c.state)
    ):
        counts[State(state)] = count
    due, oldest = connection.execute(
        select(func.count(), func.min(message.c.due_at)).where(
            message.c.state == PENDING, message.c.due_at <= now
        )
    ).one()
    return Status(
        counts=counts,
        due=due,
        oldest_due_at=None if oldest is None else moment(oldest),
        lanes=tuple(lanes(connection, now)),
        couriers=couriers(connection, now),
        moves=tuple(moves(connection)),
    )


def lanes(connection: Connection, now: float) -> list[LaneRecord]:
    """Every lane that is paused or has messages waiting, by name."""
    waiting = _pending_by_lane(connection)
    due = _pending_by_lane(connection, message.c.due_at <= now)
    return lane_records(connection, waiting, due)


def lane_records(
    connection: Connection, waiting: Mapping[str, int], due: Mapping[str, int]
) -> list[LaneRecord]:
    """The lanes that are paused or in ``waiting``, by name."""
    paused = {
        row.name: row
        for row in connection.execute(select(lane))
        if row.paused_at is not None or row.held_at is not None
    }
    return [
        _lane_record(name, paused.get(name), waiting.get(name, 0), due.get(name, 0))
        for name in sorted({*waiting, *paused})
    ]


def _pending_by_lane(
    connection: Connection, *conditions: ColumnElement[bool]
) -> Mapping[str, int]:
    return dict(
        connection.execute(
            select(message.c.lane, func.count())
            .where(message.c.state == PENDING, *conditions)
            .group_by(message.c.lane)
        ).all()
    )


def _lane_record(
    name: str, paused: Row[Any] | None, waiting: int, due: int
) -> LaneRecord:
    if paused is None:
        return LaneRecord(name, None, "", None, waiting, due)
    if paused.held_at is not None:
        return LaneRecord(name, "person", paused.held_reason, None, waiting, due)
    until = moment(paused.paused_until)
    return LaneRecord(name, "trouble", paused.reason, until, waiting, due)


def couriers(connection: Connection, now: float) -> tuple[CourierRecord, ...]:
    """Who works on this outbox, and how much is in the hands of each."""
    leased: dict[str | None, int] = dict(
        connection.execute(
            select(message.c.lease_owner, func.count())
            .where(message.c.state == LEASED)
            .group_by(message.c.lease_owner)
        ).all()
    )
    rows = connection.execute(select(courier).order_by(courier.c.started_at))
    return tuple(
        CourierRecord(
            id=row.id,
            engine=row.engine,
            host=row.host,
            pid=row.pid,
            started_at=moment(row.started_at),
            seen_at=moment(row.seen_at),
            alive=row.lease_until >= now and not is_gone(row.process),
            leased=leased.get(row.id, 0),
        )
        for row in rows
    )


def moves(connection: Connection) -> list[Batch]:
    """The batches that have departed, and are not known to have arrived."""
    rows = connection.execute(
        select(
            *departure.c["move", "batch"],
            func.min(departure.c.heading_to).label("heading_to"),
            func.min(departure.c.departed_at).label("departed_at"),
            func.count().label("messages"),
        )
        .group_by(departure.c.move, departure.c.batch)
        .order_by(departure.c.move, departure.c.batch)
    )
    return [
        Batch(
            move=row.move,
            number=row.batch,
            heading_to=row.heading_to,
            departed_at=moment(row.departed_at),
            messages=row.messages,
        )
        for row in rows
    ]


def anything_due(
    connection: Connection, now: float, lanes: Collection[str] | None
) -> bool:
    """Whether any message, or one on these lanes, is due or being delivered.

    Asked in one statement, which sees one moment: of two, neither might see a message
    that is claimed, or given back, between them.
    """
    due = (message.c.state == PENDING) & (message.c.due_at <= now)
    ours = [] if lanes is None else [message.c.lane.in_(lanes)]
    leased = message.c.state == LEASED
    found = (
        exists(select(message.c.id).where(condition, *ours))
        for condition in (leased, due)
    )
    return bool(connection.scalar(select(or_(*found))))
