"""Reads messages, counts, lanes, couriers and moves from the outbox.

Counts for pages that are shown often stop at `COUNT_LIMIT`, so they are never slow.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.engine import Row

from ..alerts import Alert, AlertKind, AlertRules
from ..delivery import Reply, State
from ..errors import StoreError
from ..events import ATTEMPT_ENDS, Event, EventKind
from ..feedback import Fate
from ..feedback.fate import furthest
from ..message import Template, serialize
from ..trace_context import TraceContext
from .couriers import is_gone
from .due import Pending, pending_by_lane
from .ids import id_at, order_of
from .records import (
    COUNT_LIMIT,
    Attempt,
    Count,
    CourierRecord,
    LaneRecord,
    MessageRecord,
    MessageSummary,
    OutboxStatus,
    Overview,
    Recipient,
    Sensitivity,
    Tab,
    TransferChunk,
)
from .schema import (
    LEASED,
    PENDING,
    alert,
    batch,
    content,
    courier,
    departure,
    event,
    feedback,
    lane,
    message,
    recipient,
)
from .sealed import query


def moment(at: float) -> datetime:
    """Epoch seconds as an aware datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def _decoded(text: str | None) -> Any:
    return json.loads(text) if text else None


def get(connection: Connection, message_id: str) -> MessageRecord | None:
    """Everything about one message except its content; None if it does not exist."""
    row = query(
        connection,
        select(
            message,
            content.c.message_id.label("kept"),
            content.c.metadata.label("given_metadata"),
            content.c.template,
            batch.c.paused_at.label("batch_paused_at"),
            batch.c.cancelled_at.label("batch_cancelled_at"),
        )
        .outerjoin(content, content.c.message_id == message.c.id)
        .outerjoin(batch, batch.c.id == message.c.batch)
        .where(message.c.id == message_id),
    ).first()
    if row is None:
        return None
    origin, trace = origin_of(row.origin)
    recipients = _recipients(connection, message_id)
    events = _events(connection, row, len(recipients))
    hidden = row.sensitive == Sensitivity.HIDDEN
    return MessageRecord(
        id=row.id,
        state=_state(row),
        subject=row.subject,
        return_path=row.return_path,
        rfc_message_id=row.rfc_message_id,
        lane=row.lane,
        priority=row.priority,
        key=row.key,
        tag=row.tag,
        metadata=None if hidden else _decoded(row.given_metadata),
        origin=origin,
        size_bytes=row.size_bytes,
        enqueued_at=moment(row.enqueued_at),
        due_at=moment(row.due_at),
        recipients=recipients,
        attempts=_attempts(events),
        events=events,
        template=_template(row.template, hidden=hidden),
        batch=row.batch,
        batch_row=row.batch_row,
        sensitive=bool(row.sensitive),
        hidden=hidden,
        content_removed=row.kept is None,
        batch_paused=row.batch_paused_at is not None,
        batch_cancelled=row.batch_cancelled_at is not None,
        trace_id=trace.trace_id if trace else None,
    )


def _template(text: str | None, *, hidden: bool) -> Template | None:
    """The template that is still to be rendered; without its context if ``hidden``."""
    if not text:
        return None
    template = serialize.template_of(text)
    return replace(template, context={}) if hidden else template


def origin_of(
    text: str | None,
) -> tuple[Mapping[str, Any] | None, TraceContext | None]:
    """The request and the span that handed a message over, from its row."""
    if not text:
        return None, None
    origin = _decoded(text)
    trace = TraceContext.of(origin)
    for field in trace.fields if trace else ():
        del origin[field]
    return origin or None, trace


def _state(row: Row[Any]) -> State:
    try:
        return State(row.state)
    except ValueError as error:
        raise StoreError(
            f"Message {row.id} cannot be read: its state is {row.state!r}, which this "
            "version does not know. Restore the outbox from a backup, or upgrade."
        ) from error


def _events(
    connection: Connection, row: Row[Any], recipients: int
) -> tuple[Event, ...]:
    """The history of the message in ``row``, from when it was enqueued."""
    later = query(
        connection,
        select(*event.c["message_id", "at", "kind", "detail"])
        .where(event.c.message_id == row.id)
        .order_by(event.c.at, event.c.id),
    )
    events = [_enqueued(row, recipients)]
    events += [one for row in later for one in _events_of(row)]
    return tuple(sorted(events, key=lambda one: one.at))


def _enqueued(row: Row[Any], recipients: int) -> Event:
    detail = {"recipients": recipients, **(_decoded(row.enqueued) or {})}
    if row.batch:
        detail |= {"batch": row.batch, "row": row.batch_row}
    return Event(moment(row.enqueued_at), EventKind.ENQUEUED, detail)


def _events_of(row: Row[Any]) -> Iterator[Event]:
    """The events in a row: the end of an attempt may say its beginning, too."""
    kind, detail = _kind(row.kind), _decoded(row.detail) or {}
    if kind in ATTEMPT_ENDS and "began" in detail:
        began = {"attempt": detail["attempt"], **detail.pop("began")}
        yield Event(moment(began.pop("at")), EventKind.BEGAN, began)
    yield Event(moment(row.at), kind, detail)


def _kind(word: str) -> EventKind | str:
    try:
        return EventKind(word)
    except ValueError:
        return word


def _recipients(connection: Connection, message_id: str) -> tuple[Recipient, ...]:
    rows = query(
        connection,
        select(recipient)
        .where(recipient.c.message_id == message_id)
        .order_by(recipient.c.position),
    )
    return tuple(_recipient(row) for row in rows)


def _recipient(row: Row[Any]) -> Recipient:
    return Recipient(
        row.address,
        State(row.state),
        _reply(row),
        fate_of(row.fate),
        None if row.fate_at is None else moment(row.fate_at),
        row.fate_text,
    )


_FATES = frozenset(Fate)


def fate_of(word: str | None) -> Fate | None:
    """The fate that a row has; None where it has none that this version knows."""
    return Fate(word) if word in _FATES else None


def _reply(row: Row[Any]) -> Reply | None:
    if row.reply_text is None:
        return None
    return Reply(row.reply_code, row.reply_enhanced, row.reply_text)


_ENDS = {*ATTEMPT_ENDS, EventKind.RESCUED}


def _attempts(events: Iterable[Event]) -> tuple[Attempt, ...]:
    """Pair each *began* with the event that ended it."""
    attempts: list[Attempt] = []
    for one in events:
        if one.kind is EventKind.BEGAN:
            number, courier_id = one.detail["attempt"], one.detail["courier"]
            attempts.append(Attempt(number, courier_id, one.at, None, None))
        elif one.kind in _ENDS and attempts and attempts[-1].outcome is None:
            attempts[-1] = replace(
                attempts[-1], ended_at=one.at, outcome=EventKind(one.kind)
            )
    return tuple(attempts)


def summaries(
    connection: Connection, state: State | None, limit: int, before: str | None
) -> list[MessageSummary]:
    """The newest messages, of one state or all, that are older than ``before``."""
    wanted = select(message).order_by(message.c.id.desc()).limit(limit)
    if state is not None:
        wanted = wanted.where(message.c.state == state.value)
    if before is not None:
        wanted = wanted.where(message.c.id < before)
    return summaries_of(connection, query(connection, wanted).all())


_STATES = frozenset(State)


def summaries_of(
    connection: Connection, rows: Sequence[Row[Any]]
) -> list[MessageSummary]:
    """The summaries of these rows of the message table.

    A message whose state is unknown to this version is left out; `status` counts it.
    """
    rows = [row for row in rows if row.state in _STATES]
    recipients = _recipients_of(connection, [row.id for row in rows])
    return [
        MessageSummary(
            id=row.id,
            state=State(row.state),
            subject=row.subject,
            recipients=tuple(one.address for one in recipients[row.id]),
            tag=row.tag,
            lane=row.lane,
            attempts=row.attempts,
            enqueued_at=moment(row.enqueued_at),
            due_at=moment(row.due_at),
            fate=furthest(fate_of(one.fate) for one in recipients[row.id]),
            sent=sum(one.state == State.SENT for one in recipients[row.id]),
            reply=_why_not(recipients[row.id]),
        )
        for row in rows
    ]


def _why_not(recipients: Sequence[Row[Any]]) -> str | None:
    """The last reply for the first of them who has not got the message."""
    replies = (_reply(one) for one in recipients if one.state != State.SENT)
    return next((str(one) for one in replies if one), None)


def _recipients_of(
    connection: Connection, ids: Sequence[str]
) -> Mapping[str, list[Row[Any]]]:
    """Each recipient, with the last reply for them, by message."""
    found: dict[str, list[Row[Any]]] = {one: [] for one in ids}
    rows = query(
        connection,
        select(recipient)
        .where(recipient.c.message_id.in_(ids))
        .order_by(recipient.c.message_id, recipient.c.position),
    )
    for row in rows:
        found[row.message_id].append(row)
    return found


def status(connection: Connection, now: float, rules: AlertRules) -> OutboxStatus:
    """Exact counts of messages, and the state of lanes, couriers and moves."""
    found: dict[str, int] = dict(
        connection.execute(
            select(message.c.state, func.count()).group_by(message.c.state)
        ).all()
    )
    counts = {state: found.pop(state.value, 0) for state in State}
    due, oldest = connection.execute(
        select(func.count(), func.min(message.c.due_at)).where(
            message.c.state == PENDING, message.c.due_at <= now
        )
    ).one()
    return OutboxStatus(
        counts=counts,
        due=due,
        oldest_due_at=None if oldest is None else moment(oldest),
        lanes=tuple(lanes(connection, now)),
        couriers=couriers(connection, now),
        moves=tuple(moves(connection)),
        unreadable=found,
        fates=_fates(connection, now),
        unmatched_reports=unmatched(connection),
        alerts=alerts(connection, rules),
    )


def lanes(connection: Connection, now: float) -> list[LaneRecord]:
    """Every lane that is paused or has pending messages, ordered by name."""
    waiting = _pending_by_lane(connection)
    due = _pending_by_lane(connection, message.c.due_at <= now)
    return lane_records(connection, waiting, due)


def lane_records(
    connection: Connection, waiting: Mapping[str, int], due: Mapping[str, int]
) -> list[LaneRecord]:
    """The lanes that are paused or in ``waiting``, ordered by name."""
    paused = {
        row.name: row
        for row in query(connection, select(lane))
        if row.paused_at is not None or row.operator_paused_at is not None
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
    if paused.operator_paused_at is not None:
        since = moment(paused.operator_paused_at)
        reason = paused.operator_reason
        return LaneRecord(name, "person", reason, None, waiting, due, since)
    until, since = moment(paused.paused_until), moment(paused.paused_at)
    return LaneRecord(name, "trouble", paused.reason, until, waiting, due, since)


def couriers(connection: Connection, now: float) -> tuple[CourierRecord, ...]:
    """The couriers of this outbox, and how many messages each has leased."""
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


def moves(connection: Connection) -> list[TransferChunk]:
    """The chunks that have departed and are not yet deleted here."""
    rows = connection.execute(
        select(
            *departure.c["move", "chunk"],
            func.min(departure.c.heading_to).label("heading_to"),
            func.min(departure.c.departed_at).label("departed_at"),
            func.count().label("messages"),
        )
        .group_by(departure.c.move, departure.c.chunk)
        .order_by(departure.c.move, departure.c.chunk)
    )
    return [
        TransferChunk(
            move=row.move,
            number=row.chunk,
            heading_to=row.heading_to,
            departed_at=moment(row.departed_at),
            messages=row.messages,
        )
        for row in rows
    ]


def _due_or_leased(*ours: ColumnElement[bool]) -> Select[tuple[bool]]:
    due = (message.c.state == PENDING) & (message.c.due_at <= bindparam("now"))
    leased = message.c.state == LEASED
    some = (exists(select(message.c.id).where(one, *ours)) for one in (leased, due))
    return select(or_(*some))


_ANYTHING_DUE = _due_or_leased()


def anything_due(
    connection: Connection, now: float, lanes: Collection[str] | None
) -> bool:
    """Whether any message, or one on these lanes, is due or leased.

    One statement sees one moment. Two statements could both miss a message that is
    claimed or returned between them.
    """
    question = _ANYTHING_DUE
    if lanes is not None:
        question = _due_or_leased(message.c.lane.in_(lanes))
    return bool(connection.scalar(question, {"now": now}))


def change_marker(connection: Connection, message_id: str | None) -> int:
    """A number that changes when an event is added to a message's history, or to any.

    For one message it is the number of its events, the first of which is its own row;
    with None it grows with the newest event, the newest message and the newest alert of
    all. If several transactions commit at once, the latter may show one of them only
    with the next change.
    """
    if message_id is None:
        newest = connection.scalar(select(func.max(message.c.id)))
        events = connection.scalar(select(func.max(event.c.id))) or 0
        began, ended = connection.execute(
            select(func.max(alert.c.began_at), func.max(alert.c.ended_at))
        ).one()
        changed = int(began or 0) + int(ended or 0)
        return (order_of(newest) if newest else 0) + events + changed
    own = select(func.count()).where(message.c.id == message_id)
    others = select(func.count()).where(event.c.message_id == message_id)
    return (connection.scalar(own) or 0) + (connection.scalar(others) or 0)


def overview(connection: Connection, now: float, rules: AlertRules) -> Overview:
    """Counts, lanes and couriers, at a cost that does not grow with the outbox."""
    pending = pending_by_lane(connection, now, COUNT_LIMIT)
    waiting = {name: one.due + one.later for name, one in pending.items()}
    due = {name: one.due for name, one in pending.items()}
    return Overview(
        counts=_counts(connection, pending.values()),
        lanes=tuple(lane_records(connection, waiting, due)),
        couriers=couriers(connection, now),
        fates={
            fate: Count.of(count)
            for fate, count in _fates(connection, now, COUNT_LIMIT + 1).items()
        },
        unmatched_reports=Count.of(unmatched(connection, COUNT_LIMIT + 1)),
        alerts=alerts(connection, rules),
    )


def alerts(connection: Connection, rules: AlertRules) -> tuple[Alert, ...]:
    """The alerts that last, the oldest first; none if nothing is watched."""
    if not rules.limits:
        return ()
    rows = query(
        connection,
        select(alert)
        .where(alert.c.ended_at.is_(None), alert.c.kind.in_(ALERT_KINDS))
        .order_by(alert.c.began_at, alert.c.id),
    )
    return tuple(alert_of(row, ended_at=None) for row in rows)


ALERT_KINDS = tuple(kind.value for kind in AlertKind)


def alert_of(row: Row[Any], *, ended_at: float | None) -> Alert:
    """The alert in a row, as it was when it had ended at ``ended_at``, or not yet."""
    return Alert(
        id=row.id,
        kind=AlertKind(row.kind),
        lane=row.lane or None,
        words=row.words,
        reason=row.reason,
        began_at=moment(row.began_at),
        ended_at=None if ended_at is None else moment(ended_at),
    )


FATES_SECONDS = 86_400.0
"""The age of the mail whose fates are counted."""


def _fates(
    connection: Connection, now: float, limit: int | None = None
) -> dict[Fate, int]:
    """How many recipients of the mail of the last day have each fate that any has.

    Ids are ordered by time, so each is counted in one range of an index.
    """
    since = id_at(now - FATES_SECONDS)
    row = connection.execute(
        select(
            *(
                _number(
                    select(recipient.c.message_id)
                    .where(
                        recipient.c.fate == fate.value, recipient.c.message_id >= since
                    )
                    .limit(limit)
                )
                for fate in Fate
            )
        )
    ).one()
    return {fate: count for fate, count in zip(Fate, row, strict=True) if count}


def unmatched(connection: Connection, limit: int | None = None) -> int:
    """How many reports wait for their message, counted no further than ``limit``."""
    waiting = select(feedback.c.id).where(feedback.c.look_at.is_not(None))
    return connection.scalar(select(_number(waiting.limit(limit)))) or 0


def _number(rows: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


def counts(connection: Connection, now: float) -> Mapping[Tab, Count]:
    """How many messages are in each tab, counted up to `COUNT_LIMIT`."""
    pending = pending_by_lane(connection, now, COUNT_LIMIT)
    return _counts(connection, pending.values())


def _counts(connection: Connection, lanes: Collection[Pending]) -> Mapping[Tab, Count]:
    pending = {
        Tab.WAITING: sum(one.due for one in lanes),
        Tab.SCHEDULED: sum(one.later for one in lanes),
    }
    return {
        tab: Count.of(
            pending[tab] if tab in pending else _in_state(connection, tab.state)
        )
        for tab in Tab
    }


def _in_state(connection: Connection, state: State) -> int:
    """How many messages are in ``state``, by `_up_to_limit`."""
    return _up_to_limit(
        connection, message.c.state == state.value, order=message.c.id.desc()
    )


def _up_to_limit(
    connection: Connection, *which: ColumnElement[bool], order: ColumnElement[object]
) -> int:
    """How many messages there are; counts no further than `COUNT_LIMIT` + 1."""
    some: Select[Any] = (
        select(literal_column("1"))
        .select_from(message)
        .where(*which)
        .order_by(order)
        .limit(COUNT_LIMIT + 1)
    )
    return connection.scalar(select(func.count()).select_from(some.subquery())) or 0
