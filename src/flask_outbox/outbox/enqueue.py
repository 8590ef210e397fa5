"""Enqueue: a composed message into the outbox, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    String,
    Table,
    Text,
    bindparam,
    select,
)

from ..delivery import Envelope, Reply, State
from ..guard import Guard
from . import suppressions
from .attachments import attach
from .cutting import LARGE_BYTES, Piece, cut
from .hot import Hot, Row
from .records import NewMessage, Receipt
from .schema import content, event, message, recipient


def _insert(table: Table, *columns: str) -> Hot:
    return Hot(table.insert(), columns or tuple(table.c.keys()))


_add_message = _insert(message)
_add_content = _insert(content)
_add_recipients = _insert(
    recipient,
    *("message_id", "position", "address", "state", "reply_text", "replied_at"),
)
add_events = _insert(event, "message_id", "at", "kind", "detail")


add_notes = Hot(
    event.insert().from_select(
        ["message_id", "at", "kind", "detail"],
        select(
            message.c.id,
            bindparam("at", type_=Double),
            bindparam("kind", type_=String),
            bindparam("detail", type_=Text),
        ).where(message.c.id == bindparam("message_id")),
    )
)
"""Adds events to stories, passing over messages that are no longer there."""


def as_json(value: Any) -> str:
    """Compact JSON, readable in the database for every language."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def event_row(message_id: str, at: float, kind: str, **detail: Any) -> Row:
    """One event, ready to be added."""
    return {
        "message_id": message_id,
        "at": at,
        "kind": kind,
        "detail": as_json(detail) if detail else None,
    }


def enqueue(
    connection: Connection,
    messages: Sequence[NewMessage],
    owner: str | None,
    guard: Guard,
    *,
    again: bool = False,
) -> list[Receipt]:
    """Add ``messages``, leased to the courier ``owner`` where there is one.

    With ``again``, those are passed over that are there: nobody knows what became of
    the transaction that was to add them before.
    """
    kept = {new.id for new in messages if again and _is_kept(connection, new.id)}
    return [
        _enqueue_one(connection, new, owner, guard, kept=new.id in kept)
        for new in messages
    ]


def may_wait(new: NewMessage) -> bool:
    """Whether ``new`` may need what another's open transaction has added, too."""
    return new.key is not None or len(new.content) >= LARGE_BYTES


def _enqueue_one(
    connection: Connection,
    new: NewMessage,
    owner: str | None,
    guard: Guard,
    *,
    kept: bool,
) -> Receipt:
    if new.key is not None and not kept:
        present = with_key(connection, new.key)
        if present:
            return present
    recipients = new.envelope.recipients
    barred = suppressions.barred(
        suppressions.find(connection, recipients), recipients, new.tag, guard
    )
    if kept:
        return _receipt(new, barred)
    state = _first_state(new, owner, nobody=len(barred) == len(recipients))
    owner = owner if state is State.LEASED else None
    _add_message.run(connection, _message_row(new, owner, state))
    _add_contents(connection, [new])
    _add_recipients.run_many(connection, _recipient_rows(new, barred))
    add_events.run_many(connection, [*_story(new, owner, barred)])
    return _receipt(new, barred)


def enqueue_together(
    connection: Connection,
    messages: Sequence[NewMessage],
    waiting: State,
    guard: Guard,
) -> list[Receipt]:
    """Add ``messages``, none of which has a key, in as few statements as can be.

    Those that somebody may get are ``waiting``: *pending*, or *paused* as their batch.
    """
    everyone = (one for new in messages for one in new.envelope.recipients)
    found = suppressions.find(connection, everyone)
    rows: list[Row] = []
    addressed: list[Row] = []
    told: list[Row] = []
    receipts = []
    for new in messages:
        recipients = new.envelope.recipients
        barred = suppressions.barred(found, recipients, new.tag, guard)
        nobody = len(barred) == len(recipients)
        state = _first_state(new, None, nobody=nobody)
        state = waiting if state is State.PENDING else state
        rows.append(_message_row(new, None, state))
        addressed += _recipient_rows(new, barred)
        told += _story(new, None, barred)
        receipts.append(_receipt(new, barred))
    _add_message.run_many(connection, rows)
    _add_contents(connection, messages)
    _add_recipients.run_many(connection, addressed)
    add_events.run_many(connection, told)
    return receipts


def _receipt(new: NewMessage, barred: Mapping[str, Reply]) -> Receipt:
    return Receipt(
        new.id,
        new.message_id,
        suppressed=_texts(barred),
        stopped=new.stop.reason if new.stop else None,
    )


_SAME_ID = select(message.c.id).where(message.c.id == bindparam("id"))


def _is_kept(connection: Connection, message_id: str) -> bool:
    return connection.scalar(_SAME_ID, {"id": message_id}) is not None


_SAME_KEY = select(message.c.id, message.c.message_id).where(
    message.c.key == bindparam("key")
)


def with_key(connection: Connection, key: str) -> Receipt | None:
    """The message with ``key``, as a duplicate's receipt; None where there is none."""
    row = connection.execute(_SAME_KEY, {"key": key}).first()
    return Receipt(row.id, row.message_id, duplicate=True) if row else None


def suppressed_row(
    message_id: str, at: float, barred: Mapping[str, Reply], finished: bool
) -> Row:
    """The event that recipients must not be mailed; ``finished`` if nobody is left."""
    return event_row(
        message_id, at, "suppressed", replies=_texts(barred), finished=finished
    )


def _texts(barred: Mapping[str, Reply]) -> dict[str, str]:
    return {address: str(reply) for address, reply in barred.items()}


def _message_row(new: NewMessage, owner: str | None, state: State) -> Row:
    return {
        "id": new.id,
        "state": state,
        "due_at": new.due_at,
        "priority": new.priority,
        "lane": new.lane,
        "queue": new.queue,
        "attempts": 0,
        "crashes": 0,
        "lease_owner": owner,
        "lease_token": 1 if owner else 0,
        "begun": 0,
        "key": new.key,
        "tag": new.tag,
        "message_id": new.message_id,
        "return_path": new.envelope.return_path,
        "subject": new.subject,
        "size_bytes": len(new.content),
        "enqueued_at": new.enqueued_at,
        "give_up_at": new.give_up_at,
        "finished_at": new.enqueued_at if state.final else None,
        "origin": as_json(new.origin) if new.origin else None,
        "batch": new.batch,
        "batch_row": new.batch_row,
    }


def _first_state(new: NewMessage, owner: str | None, *, nobody: bool) -> State:
    if new.stop:
        return State.CANCELLED
    if nobody:
        return State.SUPPRESSED
    return State.LEASED if owner else State.PENDING


def _add_contents(connection: Connection, messages: Sequence[NewMessage]) -> None:
    cuts = {new.id: cut(new.content) for new in messages}
    _add_content.run_many(
        connection, [_content_row(new, *cuts[new.id]) for new in messages]
    )
    attach(connection, {one: pieces for one, (_, pieces) in cuts.items() if pieces})


def _content_row(new: NewMessage, body: bytes, pieces: Sequence[Piece]) -> Row:
    return {
        "message_id": new.id,
        "body": body,
        "attached": len(pieces),
        "template": new.template,
        "envelope": _rest_of(new.envelope),
        "metadata": new.metadata,
    }


def _rest_of(envelope: Envelope) -> str | None:
    """Of the envelope, what the other tables do not hold."""
    rest = {
        "utf8_headers": envelope.utf8_headers,
        "mail_options": envelope.mail_options,
        "rcpt_options": envelope.rcpt_options,
    }
    return as_json(rest) if any(rest.values()) else None


def _recipient_rows(new: NewMessage, barred: Mapping[str, Reply]) -> list[Row]:
    others = State.CANCELLED if new.stop else State.PENDING
    return [
        {
            "message_id": new.id,
            "position": position,
            "address": address,
            "state": State.SUPPRESSED if address in barred else others,
            "reply_text": barred[address].text if address in barred else None,
            "replied_at": new.enqueued_at if address in barred else None,
        }
        for position, address in enumerate(new.envelope.recipients)
    ]


def _story(
    new: NewMessage, owner: str | None, barred: Mapping[str, Reply]
) -> Iterator[Row]:
    """How the story of a message begins."""
    at = new.enqueued_at
    yield _enqueued(new, owner)
    for one in new.changes:
        yield event_row(new.id, at, "changed", by=one.by, fields=one.fields)
    if barred:
        nobody = len(barred) == len(new.envelope.recipients)
        yield suppressed_row(new.id, at, barred, finished=nobody)
    if new.stop:
        yield event_row(new.id, at, "stopped", by=new.stop.by, reason=new.stop.reason)


def _enqueued(new: NewMessage, owner: str | None) -> Row:
    detail: dict[str, Any] = {"recipients": len(new.envelope.recipients)}
    if owner:
        detail["courier"] = owner
    if new.again_of:
        detail["again_of"] = new.again_of
    if new.batch:
        detail["batch"], detail["row"] = new.batch, new.batch_row
    if new.due_at > new.enqueued_at:
        detail["due_at"] = new.due_at
    return event_row(new.id, new.enqueued_at, "enqueued", **detail)
