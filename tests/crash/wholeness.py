"""Checks that each message in an outbox is complete."""

from __future__ import annotations

import email
from collections.abc import Sequence
from email.policy import default as parse_policy
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select

from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import MessageRecord
from flask_outbox.outbox.schema import content, event, message, recipient
from tests.crash.jobs import ATTACHMENT, RECIPIENTS

PARTS = (content, recipient, event)


def whole_messages(outbox: Outbox) -> dict[str, str]:
    """Message-ID → subject of all messages. Fails if any is incomplete."""
    with outbox.database.reading() as connection:
        messages = connection.execute(select(message)).all()
        for one in messages:
            _check_content(one, _parts(connection, content, one))
            _check_recipients(_parts(connection, recipient, one))
        for part in PARTS:
            assert _without_message(connection, part) == 0, part.name
    for one in messages:
        _check_history(outbox.get(one.id))
    return {one.rfc_message_id: one.subject for one in messages}


def _parts(connection: Connection, table: Table, one: Row[Any]) -> Sequence[Row[Any]]:
    return connection.execute(select(table).where(table.c.message_id == one.id)).all()


def _check_content(one: Row[Any], contents: Sequence[Row[Any]]) -> None:
    (found,) = contents
    assert len(found.body) == one.size_bytes
    parsed = email.message_from_bytes(found.body, policy=parse_policy)
    assert parsed["Message-ID"] == one.rfc_message_id
    assert parsed["Subject"] == one.subject
    (attachment,) = parsed.iter_attachments()
    assert attachment.get_content() == ATTACHMENT


def _check_recipients(recipients: Sequence[Row[Any]]) -> None:
    by_position = sorted(recipients, key=lambda one: one.position)
    assert tuple(one.address for one in by_position) == RECIPIENTS
    assert {one.state for one in recipients} == {"pending"}


def _check_history(record: MessageRecord) -> None:
    (enqueued,) = record.events
    assert enqueued.kind == "enqueued"
    assert enqueued.detail == {"recipients": len(RECIPIENTS)}


def _without_message(connection: Connection, part: Table) -> int:
    orphans = (
        select(func.count())
        .select_from(part.outerjoin(message, message.c.id == part.c.message_id))
        .where(message.c.id.is_(None))
    )
    return connection.scalar(orphans) or 0
