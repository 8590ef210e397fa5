"""Reads what the outbox keeps about a person, as plain JSON values.

Other recipients of a message are not named. Its content is the mail that the person
got: it names those whom everyone who got it sees in its headers.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from ...erased_address import ErasedAddresses
from ...events import Event
from .. import suppressions
from ..attachments import StoredContent, stored_content
from ..read import get, moment
from ..records import MessageRecord
from ..schema import feedback, pardon, provider_id, webhook
from ..sealed import query, same
from .finding import (
    OF_MESSAGES,
    OTHERS,
    Mention,
    Person,
    Reading,
    Spread,
    id_of,
    mentions,
    mentions_in,
    messages_to,
    spreads,
    told_of,
    webhooks_naming,
)

Values = dict[str, Any]


def export(
    reading: Reading, person: Person, erased: ErasedAddresses
) -> Iterator[Values]:
    """All records about ``person``, each with its ``kind``; one message at a time."""
    for part in (_suppressions, _reports, _webhooks):
        with reading() as connection:
            records = [*part(connection, person, erased)]
        yield from records
    for spread in spreads(reading):
        yield from _messages(reading, person, spread)
    for table in OTHERS:
        yield from _places(person, mentions_in(reading, person, table))


def _suppressions(
    connection: Connection, person: Person, erased: ErasedAddresses
) -> Iterator[Values]:
    found = suppressions.find(connection, [person.address], erased)
    for one in found.get(person.address, ()):
        yield _record({"kind": "suppression", **asdict(one)})
    wanted = select(pardon).where(same(connection, pardon.c.address, person.address))
    for row in query(connection, wanted.order_by(pardon.c.list)):
        yield _record({"kind": "unsuppressed", "list": row.list, "at": moment(row.at)})


def _reports(
    connection: Connection, person: Person, _erased: ErasedAddresses
) -> Iterator[Values]:
    for row in query(
        connection,
        select(feedback)
        .where(same(connection, feedback.c.address, person.address))
        .order_by(feedback.c.id),
    ):
        given = dict(row._mapping)
        given["detail"] = json.loads(row.detail) if row.detail else None
        for name in ("received_at", "at"):
            given[name] = moment(given[name])
        del given["look_at"]
        yield _record({"kind": "report", **given})


def _webhooks(
    connection: Connection, person: Person, _erased: ErasedAddresses
) -> Iterator[Values]:
    for row in query(connection, webhooks_naming(connection, person)):
        told = json.loads(row.body)
        if theirs := told_of(person, told):
            told["data"] |= {"recipients": theirs}
            yield _webhook(row, told)


def _webhook(row: Row[Any], told: Values) -> Values:
    return _record(
        {
            "kind": "webhook",
            "endpoint": row.endpoint,
            "id": row.id,
            "state": row.state,
            "queued_at": moment(row.queued_at),
            "finished_at": row.finished_at and moment(row.finished_at),
            "body": told,
        }
    )


# Messages


def _messages(reading: Reading, person: Person, spread: Spread) -> Iterator[Values]:
    with reading() as connection:
        ids = messages_to(connection, person, spread)
        found = [
            one
            for table in OF_MESSAGES
            for one in mentions(connection, person, table, spread.of(id_of(table)))
            if one.row._mapping[id_of(table)] not in ids
        ]
    for one in ids:
        with reading() as connection:
            record = get(connection, one)
            if record is not None:
                yield _message(connection, person, record)
    yield from _places(person, found)


def _message(connection: Connection, person: Person, record: MessageRecord) -> Values:
    theirs = [one for one in record.recipients if person.owns(one.address)]
    alone = len(theirs) == len(record.recipients)
    given = asdict(record)
    for name in ("attempts", "template"):
        del given[name]
    return _record(
        {
            "kind": "message",
            **given,
            "recipients": [asdict(one) for one in theirs],
            "other_recipients": len(record.recipients) - len(theirs),
            "provider_ids": _provider_ids(connection, person, record.id),
            "events": [*_events(person, record.events, alone=alone)],
            **_content(
                None if record.hidden else stored_content(connection, record.id)
            ),
        }
    )


def _provider_ids(connection: Connection, person: Person, id: str) -> list[Values]:
    rows = query(
        connection,
        select(provider_id)
        .where(provider_id.c.message_id == id)
        .order_by(*provider_id.primary_key),
    )
    return [
        {"provider": row.provider, "id": row.provider_id}
        for row in rows
        if person.owns(row.address)
    ]


def _events(
    person: Person, events: Iterable[Event], *, alone: bool
) -> Iterator[Values]:
    """The events that concern the person, without what they say of others.

    The dialogue with the server is left out where the message was for others as well.
    """
    for one in events:
        detail = dict(one.detail)
        if not person.owns(detail.get("address", person.address)):
            continue
        if "replies" in detail:
            detail["replies"] = {
                address: reply
                for address, reply in detail["replies"].items()
                if person.owns(address)
            }
        if not alone:
            detail.pop("dialogue", None)
        yield {"at": one.at, "kind": str(one.kind), "detail": detail}


def _content(stored: StoredContent | None) -> Values:
    """The mail as it is sent; before it is rendered, its template and what for.

    None of it once it is pruned, nor if nobody may see it.
    """
    if stored is None:
        return {"content": None}
    if stored.template is None:
        return {"content": _text(stored.body)}
    template: Values = json.loads(stored.template)
    for name in ("recipients", "cc", "bcc"):
        template.pop(name, None)
    return {"template": template, "attachments": _text(stored.body)}


def _text(content: bytes) -> str | Values:
    """The bytes as text where that is what they are, else as base64."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode()}


# Other texts


def _places(person: Person, found: Iterable[Mention]) -> Iterator[Values]:
    """Where else the person is named.

    The text itself is not given, for it is about somebody else, too.
    """
    for one in found:
        if _is_exported(person, one):
            continue
        about = one.table in OF_MESSAGES and one.row._mapping[id_of(one.table)]
        for column in one.changed:
            yield {
                "kind": "mention",
                "table": one.table.name,
                "column": column,
                "message_id": about or None,
            }


def _is_exported(person: Person, one: Mention) -> bool:
    """Whether it is in a suppression, a report or a webhook about them."""
    row = one.row._mapping
    if one.table is webhook and row[webhook.c.body]:
        return bool(told_of(person, json.loads(row[webhook.c.body])))
    return person.owns(row.get("address") or "")


def _record(given: Values) -> Values:
    return {name: _plain(value) for name, value in given.items()}


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it."""
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value
