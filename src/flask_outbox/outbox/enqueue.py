"""Adds composed messages to the outbox's tables, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    String,
    Text,
    bindparam,
    delete,
    select,
)

from ..delivery import Envelope, Reply, State
from ..events import EventKind
from ..recipient_guard import Guard
from . import suppressions
from .attachments import LARGE_BYTES, SharedPart, attach, split
from .group_commit import SharedWork
from .records import NewMessage, Receipt
from .schema import content, event, message, recipient
from .sealed import forms
from .statements import (
    JOINED_STATEMENTS,
    PreparedInsert,
    PreparedStatement,
    Row,
    RowsInsert,
    Statement,
    can_run_and_commit,
    run_and_commit,
    run_together,
)

Owners = Mapping[str, str]
"""A message's id → the courier that it is leased to."""

Barred = Mapping[str, Mapping[str, Reply]]
"""A message's id → those of its recipients who must not get it, and why."""

NOBODY: Mapping[str, Reply] = {}

add_events: PreparedInsert = PreparedInsert(event, "message_id", "at", "kind", "detail")

add_notes: PreparedStatement = PreparedStatement(
    event.insert().from_select(
        ["message_id", "at", "kind", "detail"],
        select(
            message.c.id,
            bindparam("at", type_=Double),
            bindparam("kind", type_=String),
            bindparam("detail", type_=Text),
        ).where(message.c.id == bindparam("message_id")),
    ),
    adds_to=event,
)
"""Adds events to histories; skips messages that no longer exist."""


as_json: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode
"""Writes compact JSON, with non-ASCII characters left readable."""


def event_row(message_id: str, at: float, kind: EventKind, **detail: Any) -> Row:
    """One event, as parameters of `add_events`."""
    return {
        "message_id": message_id,
        "at": at,
        "kind": kind.value,
        "detail": as_json(detail) if detail else None,
    }


def suppressed_row(
    message_id: str, at: float, barred: Mapping[str, Reply], finished: bool
) -> Row:
    """The event that recipients are suppressed; ``finished`` if none are left."""
    return event_row(
        message_id, at, EventKind.SUPPRESSED, replies=_texts(barred), finished=finished
    )


class Enqueue(SharedWork):
    """Work that adds ``messages``, leased to the courier ``owner`` if one is given.

    Concurrent callers' messages are added together. Run again, it skips those that
    exist: an earlier transaction may have added them, although its outcome was lost.
    """

    def __init__(
        self, messages: Sequence[NewMessage], owner: str | None, guard: Guard
    ) -> None:
        self._messages = messages
        self._owner = owner
        self._guard = guard
        self._ran = False
        self._plain = not guard.only_to
        """Whether only rows of the messages and their recipients are added."""
        self.may_block: bool = False
        """Whether another transaction may have to end first: it may have added the same
        key or the same attachment.
        """
        for new in messages:
            if new.key is not None or len(new.content) >= LARGE_BYTES:
                self.may_block, self._plain = True, False
            elif new.changes or new.stop:
                self._plain = False

    def __call__(self, connection: Connection) -> list[Receipt]:
        """Add the messages; return their receipts."""
        return self.run_together(connection, [self])[0]

    def run_together(
        self, connection: Connection, works: Sequence[Enqueue]
    ) -> list[list[Receipt]]:
        """Run ``works``, all of one outbox; return the receipts of each."""
        messages = [new for work in works for new in work._messages]
        owners = {
            new.id: work._owner
            for work in works
            if work._owner is not None
            for new in work._messages
        }
        again = [new.id for work in works if work._ran for new in work._messages]
        for work in works:
            work._ran = True
        existing = _existing(connection, again) if again else ()
        receipts = iter(
            enqueue(connection, messages, self._guard, owners, existing=existing)
        )
        return [[next(receipts) for _ in work._messages] for work in works]

    def run_and_commit(
        self, connection: Connection, works: Sequence[Enqueue]
    ) -> list[list[Receipt]] | None:
        """Run and commit ``works`` at once, if all their messages are plain and none of
        their recipients is on a suppression list.
        """
        if not can_run_and_commit(connection):
            return None
        new_rows, addresses, results = NewRows(), list[str](), []
        for work in works:
            if work._ran or not work._plain:
                return None
            receipts = []
            for new in work._messages:
                new_rows.add(new, work._owner)
                addresses += new.envelope.recipients
                receipts.append(Receipt(new.id, new.rfc_message_id))
            results.append(receipts)
        erased = works[0]._guard.erased
        asking = suppressions.queries(connection, addresses, erased)
        inserts = new_rows.inserts(connection, unless_found=True)
        if len(asking) != 1 or len(inserts) >= JOINED_STATEMENTS:
            return None
        for work in works:
            work._ran = True
        return results if run_and_commit(connection, asking[0], inserts) else None


def enqueue(
    connection: Connection,
    messages: Sequence[NewMessage],
    guard: Guard,
    owners: Owners | None = None,
    waiting: State = State.PENDING,
    existing: Collection[str] = (),
) -> list[Receipt]:
    """Add ``messages`` in as few statements as possible; return their receipts.

    Those without an owner get the state ``waiting``, *pending* or *paused*. Of those in
    ``existing``, only the receipts are made.
    """
    duplicates = _duplicates(connection, messages, existing)
    fresh = [new for new in messages if new.id not in duplicates]
    adding = [new for new in fresh if new.id not in existing] if existing else fresh
    barred = _barred({}, fresh, guard)
    owners = owners or {}
    rows = NewRows(waiting)
    for new in adding:
        rows.add(new, owners.get(new.id), barred[new.id])
    # Usually nobody is suppressed: that is asked and assumed in one round trip.
    everyone = [one for new in fresh for one in new.envelope.recipients]
    asking = suppressions.queries(connection, everyone, guard.erased)
    inserts = rows.inserts(connection)
    answers = run_together(connection, [*asking, *inserts])
    if found := suppressions.found_in(connection, answers, everyone, guard.erased):
        assumed, barred = barred, _barred(found, fresh, guard)
        wrong = [new for new in adding if barred[new.id] != assumed[new.id]]
        if wrong:
            _remove(connection, [new.id for new in wrong])
            right = NewRows(waiting)
            for new in wrong:
                right.add(new, owners.get(new.id), barred[new.id])
            run_together(connection, right.inserts(connection))
    events = [row for new in adding for row in _events(new, barred[new.id])]
    if events:
        add_events.run_many(connection, events)
    if rows.attachments:
        attach(connection, rows.attachments)
    return [duplicates.get(new.id) or _receipt(new, barred[new.id]) for new in messages]


def _barred(
    found: suppressions.Found, messages: Sequence[NewMessage], guard: Guard
) -> Barred:
    return {
        new.id: suppressions.barred(found, new.envelope.recipients, new.tag, guard)
        for new in messages
    }


def _receipt(new: NewMessage, barred: Mapping[str, Reply]) -> Receipt:
    return Receipt(
        new.id,
        new.rfc_message_id,
        suppressed=_texts(barred),
        stopped=new.stop.reason if new.stop else None,
    )


def _texts(barred: Mapping[str, Reply]) -> dict[str, str]:
    return {address: str(reply) for address, reply in barred.items()}


# What is there already

_SAME_KEY = select(message.c.id, message.c.rfc_message_id).where(
    message.c.key == bindparam("key")
)


def with_key(connection: Connection, key: str) -> Receipt | None:
    """A duplicate's receipt, for the message that has ``key``; None if none has."""
    for stored in forms(connection, message.c.key, key):
        row = connection.execute(_SAME_KEY, {"key": stored}).first()
        if row is not None:
            return Receipt(row.id, row.rfc_message_id, duplicate=True)
    return None


def _duplicates(
    connection: Connection, messages: Sequence[NewMessage], existing: Collection[str]
) -> dict[str, Receipt]:
    """The receipts of those of ``messages`` whose key another message has."""
    duplicates: dict[str, Receipt] = {}
    first: dict[str, Receipt] = {}
    for new in messages:
        if new.key is None or new.id in existing:
            continue
        present = first.get(new.key) or with_key(connection, new.key)
        if present:
            duplicates[new.id] = present
        first[new.key] = present or Receipt(new.id, new.rfc_message_id, duplicate=True)
    return duplicates


def _existing(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these messages exist."""
    return {*connection.scalars(select(message.c.id).where(message.c.id.in_(ids)))}


# Rows

_messages = RowsInsert(
    message,
    *("id", "state", "due_at", "priority", "lane", "queue", "attempts", "crashes"),
    *("lease_owner", "lease_token", "begun", "key", "tag", "rfc_message_id"),
    *("return_path", "subject", "size_bytes", "enqueued_at", "give_up_at"),
    *("finished_at", "origin", "enqueued", "batch", "batch_row", "sensitive"),
)
_contents = RowsInsert(
    content, "message_id", "body", "attached", "template", "envelope", "metadata"
)
_recipients = RowsInsert(
    recipient, "message_id", "position", "address", "state", "reply_text", "replied_at"
)


class NewRows:
    """The rows of new messages; those without an owner get the state ``waiting``.

    ``attachments`` are the large ones that were cut out of the messages, by their ids.
    """

    def __init__(self, waiting: State = State.PENDING) -> None:
        self._waiting = waiting
        self._messages: list[tuple[Any, ...]] = []
        self._contents: list[tuple[Any, ...]] = []
        self._recipients: list[tuple[Any, ...]] = []
        self.attachments: dict[str, list[SharedPart]] = {}

    def add(
        self, new: NewMessage, owner: str | None, barred: Mapping[str, Reply] = NOBODY
    ) -> None:
        """Add the rows of one message; its recipients in ``barred`` are suppressed."""
        envelope = new.envelope
        body, parts = new.content, list[SharedPart]()
        if len(new.content) >= LARGE_BYTES and not new.hidden:
            body, parts = split(new.content)
        if parts:
            self.attachments[new.id] = parts
        finished_at = None
        if new.stop or len(barred) == len(envelope.recipients):
            state = State.CANCELLED if new.stop else State.SUPPRESSED
            owner, finished_at = None, new.enqueued_at
        else:
            state = self._waiting if owner is None else State.LEASED
        row = (
            *(new.id, state, new.due_at, new.priority, new.lane, new.queue, 0, 0),
            *(owner, 1 if owner else 0, 0, new.key, new.tag, new.rfc_message_id),
            *(envelope.return_path, new.subject, len(new.content)),
            *(new.enqueued_at, new.give_up_at, finished_at),
            _origin(new),
            _enqueued(new, owner),
            *(new.batch, new.batch_row, int(new.sensitivity)),
        )
        self._messages.append(row)
        if not (finished_at and new.hidden):
            rest = _rest_of(envelope)
            self._contents.append(
                (new.id, body, len(parts), new.template, rest, new.metadata)
            )
        others = State.CANCELLED if new.stop else State.PENDING
        for position, address in enumerate(envelope.recipients):
            answer: tuple[Any, ...] = (others, None, None)
            if address in barred:
                answer = (State.SUPPRESSED, barred[address].text, new.enqueued_at)
            self._recipients.append((new.id, position, address, *answer))

    def inserts(
        self, connection: Connection, *, unless_found: bool = False
    ) -> list[Statement]:
        """The statements that insert the rows, as `RowsInsert.statements` says."""
        statements: list[Statement] = []
        for insert, rows in (
            (_messages, self._messages),
            (_contents, self._contents),
            (_recipients, self._recipients),
        ):
            statements += insert.statements(connection, rows, unless_found=unless_found)
        return statements


def _origin(new: NewMessage) -> str | None:
    """The request that hands it over, and the span in which that happens, as JSON."""
    origin = new.origin
    if new.trace is not None:
        origin = {**(origin or {}), **new.trace.fields}
    return as_json(origin) if origin else None


def _enqueued(new: NewMessage, owner: str | None) -> str | None:
    """The detail of the first event, as JSON; None where other columns say it all."""
    detail: dict[str, Any] = {}
    if owner:
        detail["courier"] = owner
    if new.again_of:
        detail["again_of"] = new.again_of
    if new.due_at > new.enqueued_at:
        detail["due_at"] = new.due_at
    return as_json(detail) if detail else None


def _rest_of(envelope: Envelope) -> str | None:
    """The parts of the envelope that the other tables do not hold, as JSON."""
    if not (envelope.utf8_headers or envelope.mail_options or envelope.rcpt_options):
        return None
    return as_json(
        {
            "utf8_headers": envelope.utf8_headers,
            "mail_options": envelope.mail_options,
            "rcpt_options": envelope.rcpt_options,
        }
    )


def _events(new: NewMessage, barred: Mapping[str, Reply]) -> Iterator[Row]:
    """The events of a message's history that follow the first, *enqueued*."""
    at = new.enqueued_at
    for one in new.changes:
        yield event_row(new.id, at, EventKind.CHANGED, by=one.by, fields=one.fields)
    if barred:
        nobody = len(barred) == len(new.envelope.recipients)
        yield suppressed_row(new.id, at, barred, finished=nobody)
    if new.stop:
        yield event_row(
            new.id, at, EventKind.STOPPED, by=new.stop.by, reason=new.stop.reason
        )


def _remove(connection: Connection, ids: Sequence[str]) -> None:
    """Remove the rows of messages that this transaction has added."""
    for column in (recipient.c.message_id, content.c.message_id, message.c.id):
        connection.execute(delete(column.table).where(column.in_(ids)))
