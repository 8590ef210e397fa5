"""A message whose rows are damaged fails with the reason; all others are claimed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, delete, update

from flask_outbox.delivery import State
from flask_outbox.history import describe
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox.schema import attached, content, recipient

from .making import ADA, BOB, COURIER, put

LARGE = b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 19 + b"\r\n"
LARGE += (b"QUJD" * 19 + b"\r\n") * 2_000

Damage = Callable[[Connection, str], object]


def _without_content(connection: Connection, message_id: str) -> None:
    connection.execute(delete(content).where(content.c.message_id == message_id))


def _without_attachment(connection: Connection, message_id: str) -> None:
    found = delete(attached).where(attached.c.message_id == message_id)
    assert connection.execute(found).rowcount == 1


def _without_recipients(connection: Connection, message_id: str) -> None:
    connection.execute(delete(recipient).where(recipient.c.message_id == message_id))


def _with_recipient_state(connection: Connection, message_id: str) -> None:
    connection.execute(
        update(recipient)
        .where(recipient.c.message_id == message_id, recipient.c.address == BOB)
        .values(state="weird")
    )


def _with_envelope(text: str) -> Damage:
    def damage(connection: Connection, message_id: str) -> None:
        connection.execute(
            update(content)
            .where(content.c.message_id == message_id)
            .values(envelope=text)
        )

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without_content, "its content is missing"),
        (_without_attachment, "an attachment is missing"),
        (_without_recipients, "none of its recipients is pending"),
        (_with_recipient_state, "weird"),
        (_with_envelope("{"), "JSONDecodeError"),
        (_with_envelope("[1]"), "AttributeError"),
        (_with_envelope('{"mail_options": 7}'), "TypeError"),
    ],
    ids=["content", "attachment", "recipients", "state", "broken", "list", "options"],
)
def test_a_damaged_message_fails_and_the_rest_is_claimed(
    outbox: Outbox, damage: Damage, said: str
) -> None:
    before = put(outbox)
    broken = put(outbox, ADA, BOB, content=LARGE)
    after = put(outbox)
    with outbox.database.engine.begin() as connection:
        damage(connection, broken)

    claims = outbox.claim(COURIER, "default", 10)

    readable = [one for one in claims if not one.unreadable]
    (lost,) = (one for one in claims if one.unreadable)
    assert {one.id for one in readable} == {before, after}
    assert all(one.envelope.recipients == (ADA,) for one in readable)
    assert (lost.id, lost.envelope.recipients) == (broken, ())
    assert said in (lost.unreadable or "")
    record = outbox.get(broken)
    assert record.state is State.FAILED
    assert {one.state for one in record.recipients} <= {State.FAILED}
    assert said in record.events[-1].detail["reason"]
    assert said in describe(record)[-1].what
    assert sorted(outbox.leased_to(COURIER)) == sorted([before, after])


def test_a_repaired_message_can_be_retried(outbox: Outbox) -> None:
    message_id = put(outbox)
    with outbox.database.engine.begin() as connection:
        _with_envelope("{")(connection, message_id)
    assert outbox.claim(COURIER, "default", 10)[0].unreadable
    outbox.act(MessageActions.retry, message_id)
    assert outbox.claim(COURIER, "default", 10)[0].unreadable
    with outbox.database.engine.begin() as connection:
        _with_envelope("{}")(connection, message_id)
    outbox.act(MessageActions.retry, message_id)
    (held,) = outbox.claim(COURIER, "default", 10)
    assert (held.unreadable, held.envelope.recipients) == (None, (ADA,))
