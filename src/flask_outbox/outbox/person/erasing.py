"""Erases a person from rows: each function within one transaction.

A message is erased with all that belongs to it or not at all, so that what a killed
process has left is found again by the recipient's address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Row,
    bindparam,
    delete,
    select,
    update,
)

from ...delivery import State
from ...erased_address import ErasedAddresses, erased_recipient, is_digest
from ...events import EventKind
from .. import suppressions
from ..enqueue import add_events, as_json, event_row
from ..read import moment
from ..records import PersonErased, Suppression, Unerased
from ..schema import (
    batch,
    content,
    event,
    feedback,
    message,
    pardon,
    provider_id,
    recipient,
    suppression,
    webhook,
)
from ..sealed import SEALED, query, same, seal
from ..states import transition
from ..suppressions import EVERYTHING
from .finding import (
    OF_MESSAGES,
    Mention,
    Person,
    among,
    id_of,
    mentions,
    told_of,
    webhooks_naming,
)

AT_ONCE = 100
"""The most messages that one transaction erases, so that it is short."""

WAITING = frozenset({State.PENDING, State.PAUSED, State.UNKNOWN})
"""States of a message that may still be sent, and of a recipient who may get it."""

UNIQUE = frozenset({message.c.key, batch.c.key, feedback.c.event_id})
"""Columns in which a placeholder could stand only once."""


# Suppressions and reports


def keep_suppressions(
    connection: Connection,
    person: Person,
    erased: ErasedAddresses,
    now: float,
    suppress_by: str | None,
) -> PersonErased:
    """Put a digest in place of the address on the suppression list.

    With ``suppress_by``, a source, they are on it for all mail afterwards. Nothing is
    kept of why they are, nor of when they were taken off a list. Raises `ConfigError`
    without a key.
    """
    found = suppressions.find(connection, [person.address], erased)
    there = found.get(person.address, ())
    plain = [one for one in there if not is_digest(one.address)]
    digested = {one.list for one in there if is_digest(one.address)}
    wanted = {one.list: one for one in plain if one.list not in digested}
    if suppress_by and EVERYTHING not in {one.list for one in there}:
        wanted[EVERYTHING] = Suppression(
            person.address, EVERYTHING, "", suppress_by, moment(now)
        )
    if wanted:
        digest = erased.digest(person.address)
        entries = [
            Suppression(digest, one.list, "", one.source, one.added_at)
            for one in wanted.values()
        ]
        suppressions.add(connection, entries, erased)
    for table in (suppression, pardon):
        theirs = same(connection, table.c.address, person.address)
        connection.execute(delete(table).where(theirs))
    return PersonErased(suppressions=len(wanted))


def blank_reports(connection: Connection, person: Person) -> PersonErased:
    """Take from some reports whom they concern and what they say.

    They stay countable, and a repetition is known.
    """
    ids = connection.scalars(
        select(feedback.c.id)
        .where(same(connection, feedback.c.address, person.address))
        .order_by(feedback.c.id)
        .limit(AT_ONCE)
        .with_for_update()
    ).all()
    nothing = ("address", "provider_id", "rfc_message_id", "words", "detail", "look_at")
    connection.execute(
        update(feedback).where(feedback.c.id.in_(ids)).values(**dict.fromkeys(nothing))
    )
    return PersonErased(reports=len(ids))


# Messages


class _Recipients(NamedTuple):
    """The recipients of one message."""

    theirs: Sequence[Row[Any]]
    others: Sequence[Row[Any]]

    @property
    def others_wait(self) -> bool:
        return any(one.state in WAITING for one in self.others)


def erase_messages(
    connection: Connection, person: Person, ids: Sequence[str], now: float
) -> PersonErased:
    """Erase the person from these messages, whether they are to them or name them.

    What was not sent to them never will be: a message that waits for them alone is
    cancelled, and in one that waits for others they are cancelled. One that a courier
    has, that is moving, or that waits for others is erased once it is finished.
    """
    rows = connection.execute(
        select(*message.c["id", "state"])
        .where(message.c.id.in_(ids))
        .order_by(message.c.id)
        .with_for_update()
    ).all()
    recipients = _recipients(connection, person, ids)
    waiting: list[Unerased] = []
    own: list[str] = []
    naming: list[str] = []
    cancelled: list[str] = []
    for row in rows:
        state, its = State(row.state), recipients[row.id]
        if why := _why_not_yet(state, its):
            waiting.append(Unerased(row.id, why))
            if state in WAITING:
                _cancel_recipients(connection, its.theirs)
        elif its.theirs:
            own.append(row.id)
            if state in WAITING:
                cancelled.append(row.id)
        else:
            naming.append(row.id)
    _cancel(connection, cancelled, now)
    events = _erase_own(connection, own, recipients, now)
    texts = _make_nameless(connection, person, [*own, *naming])
    return PersonErased(
        messages=len(own),
        cancelled=tuple(cancelled),
        events=events,
        mentions=texts,
        waiting=tuple(waiting),
    )


def _recipients(
    connection: Connection, person: Person, ids: Sequence[str]
) -> Mapping[str, _Recipients]:
    found: dict[str, list[Row[Any]]] = {one: [] for one in ids}
    for row in query(
        connection,
        select(recipient)
        .where(recipient.c.message_id.in_(ids))
        .order_by(recipient.c.message_id, recipient.c.position),
    ):
        found[row.message_id].append(row)
    return {
        message_id: _Recipients(
            [one for one in rows if person.owns(one.address)],
            [one for one in rows if not person.owns(one.address)],
        )
        for message_id, rows in found.items()
    }


IN_HAND = "a courier is delivering it"
MOVING = "it is being moved to another outbox"
FOR_OTHERS = "it waits for other recipients"


def _why_not_yet(state: State, its: _Recipients) -> str | None:
    """Why a message cannot be erased now; None if it can."""
    if state is State.LEASED:
        return IN_HAND
    if state is State.MOVING:
        return MOVING
    if state in WAITING and (its.others_wait or not its.theirs):
        return FOR_OTHERS
    return None


def _cancel_recipients(connection: Connection, theirs: Iterable[Row[Any]]) -> None:
    for one in theirs:
        if one.state in WAITING:
            connection.execute(
                update(recipient)
                .where(
                    recipient.c.message_id == one.message_id,
                    recipient.c.position == one.position,
                )
                .values(state=State.CANCELLED.value)
            )


def _cancel(connection: Connection, ids: Sequence[str], now: float) -> None:
    connection.execute(
        transition(WAITING, State.CANCELLED, finished_at=now).where(
            message.c.id.in_(ids)
        )
    )
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id.in_(ids),
            recipient.c.state.in_([one.value for one in WAITING]),
        )
        .values(state=State.CANCELLED.value)
    )
    add_events.run_many(
        connection, [event_row(one, now, EventKind.CANCELLED) for one in ids]
    )


def _erase_own(
    connection: Connection,
    ids: Sequence[str],
    recipients: Mapping[str, _Recipients],
    now: float,
) -> int:
    """Erase the person from messages to them; how many events were changed."""
    events = _erase_events(connection, ids, recipients)
    connection.execute(delete(content).where(content.c.message_id.in_(ids)))
    connection.execute(update(message).where(message.c.id.in_(ids)).values(subject=""))
    theirs = [one for id in ids for one in recipients[id].theirs]
    for one in theirs:
        connection.execute(
            delete(provider_id).where(
                provider_id.c.message_id == one.message_id,
                same(connection, provider_id.c.address, one.address),
            )
        )
    if theirs:
        rows = [_erased_row(connection, one) for one in theirs]
        connection.execute(_erase_recipient, rows)
    add_events.run_many(
        connection, [event_row(one, now, EventKind.ERASED) for one in ids]
    )
    return events


_erase_recipient = (
    update(recipient)
    .where(
        recipient.c.message_id == bindparam("its_message"),
        recipient.c.position == bindparam("its_position"),
    )
    .values(
        address=bindparam("new_address"),
        reply_text=bindparam("new_text"),
        fate_text=None,
    )
)


def _erased_row(connection: Connection, one: Row[Any]) -> dict[str, Any]:
    address = {"address": erased_recipient(one.position)}
    return {
        "its_message": one.message_id,
        "its_position": one.position,
        "new_address": seal(connection, recipient, one.message_id, address)["address"],
        "new_text": None if one.reply_text is None else "",
    }


# Events

_erase_event = (
    update(event)
    .where(event.c.id == bindparam("its_id"))
    .values(detail=bindparam("new_detail"))
)


def _erase_events(
    connection: Connection, ids: Sequence[str], recipients: Mapping[str, _Recipients]
) -> int:
    rows = query(
        connection,
        select(*event.c["id", "message_id", "detail"]).where(
            event.c.message_id.in_(ids), event.c.detail.is_not(None)
        ),
    ).all()
    changed = []
    for row in rows:
        given = json.loads(row.detail)
        kept = _without_person(given, recipients[row.message_id])
        if kept != given:
            detail = {"detail": as_json(kept)}
            sealed = seal(connection, event, row.message_id, detail)
            changed.append({"its_id": row.id, "new_detail": sealed["detail"]})
    if changed:
        connection.execute(_erase_event, changed)
    return len(changed)


_THEIR_WORDS = frozenset({"words", "url", "user_agent"})
"""What a report tells of the recipient whom it names."""


def _without_person(detail: Mapping[str, Any], its: _Recipients) -> dict[str, Any]:
    """An event's detail without what was said by them or of them.

    What is said of others stays; the dialogue with the server too, where the message
    was for others as well.
    """
    names = {one.address: erased_recipient(one.position) for one in its.theirs}
    kept = dict(detail)
    if kept.get("address") in names:
        kept = {name: one for name, one in kept.items() if name not in _THEIR_WORDS}
        kept["address"] = names[kept["address"]]
    if "replies" in kept:
        kept["replies"] = {
            names.get(address, address): _codes(reply) if address in names else reply
            for address, reply in kept["replies"].items()
        }
    if not its.others:
        kept.pop("dialogue", None)
    return kept


_CODES = re.compile(r"(?:\d{3}\b)?(?: ?\b\d\.\d{1,3}\.\d{1,3}\b)?")


def _codes(reply: str) -> str:
    """The codes of a reply, without its text."""
    found = _CODES.match(reply)
    return found[0].strip() if found else ""


# Other texts


def _make_nameless(connection: Connection, person: Person, ids: Collection[str]) -> int:
    """Put a placeholder wherever the rows of these messages name the person; in how
    many rows.
    """
    return sum(
        _write_nameless(
            connection,
            mentions(connection, person, table, id_of(table).in_(ids)),
        )
        for table in OF_MESSAGES
    )


def make_nameless(
    connection: Connection, person: Person, found: Collection[Mention]
) -> PersonErased:
    """Put a placeholder wherever these rows of one table still name the person."""
    (table,) = {one.table for one in found}
    still = mentions(connection, person, table, among(connection, found))
    return PersonErased(mentions=_write_nameless(connection, still))


def _write_nameless(connection: Connection, found: Iterable[Mention]) -> int:
    number = 0
    for one in found:
        values = {column.name: text for column, text in _values(one).items()}
        if one.table in SEALED:
            owner = one.row._mapping[SEALED[one.table].owner]
            values = seal(connection, one.table, owner, values)
        its = among(connection, [one])
        connection.execute(update(one.table).where(its).values(values))
        number += 1
    return number


def _values(one: Mention) -> dict[Column[Any], str | None]:
    columns = {one.table.c[name]: text for name, text in one.changed.items()}
    return {
        column: _unique(one, column) if column in UNIQUE else text
        for column, text in columns.items()
    }


def _unique(one: Mention, column: Column[Any]) -> str | None:
    """What takes the place of a text in which a placeholder could stand only once."""
    return None if column.nullable else f"erased-{one.row._mapping['id']}"


def webhooks_about(connection: Connection, person: Person) -> list[tuple[str, str]]:
    """The endpoints and ids of webhooks that tell of the person."""
    rows = query(connection, webhooks_naming(connection, person))
    return [
        (row.endpoint, row.id) for row in rows if told_of(person, json.loads(row.body))
    ]


def erase_webhooks(
    connection: Connection, person: Person, which: Sequence[tuple[str, str]]
) -> PersonErased:
    """Delete those of these webhooks that tell of the person alone, and leave them out
    of the others.
    """
    return PersonErased(
        webhooks=sum(_erase_webhook(connection, person, *one) for one in which)
    )


def _erase_webhook(
    connection: Connection, person: Person, endpoint: str, id: str
) -> bool:
    """Whether it was there."""
    its = (webhook.c.endpoint == endpoint) & (webhook.c.id == id)
    wanted = select(*webhook.c["id", "body"]).where(its).with_for_update()
    row = query(connection, wanted).first()
    if row is None:
        return False
    told = json.loads(row.body)
    theirs = told_of(person, told)
    left = [one for one in told["data"]["recipients"] if one not in theirs]
    if left:
        told["data"] |= {"recipients": left}
        told["data"].pop("metadata", None)
        body = seal(connection, webhook, id, {"body": as_json(told)})
        connection.execute(update(webhook).where(its).values(body))
    else:
        connection.execute(delete(webhook).where(its))
    return True
