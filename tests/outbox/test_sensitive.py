"""Sensitive messages: hidden from people, and without content once they are over."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select

from flask_outbox import Message, SensitiveContent, TransitionRefused
from flask_outbox.delivery import State
from flask_outbox.message import Template
from flask_outbox.message.serialize import store
from flask_outbox.outbox import BatchStore, MessageActions, Outbox, claim
from flask_outbox.outbox.claim import Rendition
from flask_outbox.outbox.records import NewMessage, Sensitivity, Stop
from flask_outbox.outbox.schema import attached, attachment, content
from tests.outbox.making import (
    ADA,
    BOB,
    COURIER,
    OTHER_COURIER,
    Clock,
    claim_one,
    deferred,
    enlist,
    failed,
    kinds,
    new_message,
    put,
    returned,
    sent,
    unknown,
)

HIDDEN = Sensitivity.HIDDEN

FILE = base64.encodebytes(bytes(range(256)) * 100).replace(b"\n", b"\r\n")
"""As large as what equal messages share."""

MAIL = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n" + FILE + b"--x--"


def code(clock: Clock, *recipients: str, **changes: object) -> NewMessage:
    """A message with a login code."""
    given = {"content": MAIL, "metadata": '{"code": 7}', "sensitivity": HIDDEN}
    return new_message(clock.now, *recipients, **{**given, **changes})


def put_code(outbox: Outbox, clock: Clock, **changes: object) -> str:
    (receipt,) = outbox.enqueue([code(clock, **changes)])
    return receipt.id


def rest(outbox: Outbox, message_id: str) -> bytes | None:
    """The content that is stored, whoever may see it."""
    return outbox.content(message_id, even_hidden=True)


def is_gone(outbox: Outbox, message_id: str) -> bool:
    """Whether no row has anything of the content."""
    tables = (content, attached)
    with outbox.database.reading() as connection:
        return not any(
            connection.scalar(
                select(func.count()).where(one.c.message_id == message_id)
            )
            for one in tables
        )


def test_nobody_is_shown_a_sensitive_message(outbox: Outbox, clock: Clock) -> None:
    message_id = put_code(outbox, clock)
    record = outbox.get(message_id)
    assert (record.sensitive, record.hidden, record.metadata) == (True, True, None)
    with pytest.raises(SensitiveContent, match="removed once it is sent or given up"):
        outbox.content(message_id)
    assert claim_one(outbox).content == MAIL


def test_its_content_goes_with_the_record_that_it_was_sent(
    outbox: Outbox, clock: Clock
) -> None:
    other = put(outbox, content=MAIL)
    message_id = put_code(outbox, clock)
    held = {one.id: one for one in outbox.claim(COURIER, "default", 10)}

    late = replace(held[message_id], token=0)
    assert outbox.record([sent(late, clock.now)]).lost == [late]
    assert rest(outbox, message_id) == MAIL

    assert outbox.record([sent(one, clock.now) for one in held.values()]).lost == []
    assert is_gone(outbox, message_id)
    assert outbox.content(other) == MAIL
    with pytest.raises(SensitiveContent, match="removed when it became sent"):
        outbox.content(message_id)
    record = outbox.get(message_id)
    assert str(record.recipients[0].reply) == "250 2.0.0 kept"
    assert kinds(outbox, message_id) == ["enqueued", "sent"]


def test_its_attachments_are_shared_with_no_other_message(
    outbox: Outbox, clock: Clock
) -> None:
    for _ in range(2):
        put_code(outbox, clock)
    with outbox.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(attachment)) == 0


def test_a_record_that_is_not_committed_removes_nothing(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put_code(outbox, clock)
    held = claim_one(outbox)

    def die_before_the_commit(connection: Connection) -> None:
        claim.record(connection, [sent(held, clock.now)])
        raise InterruptedError

    with pytest.raises(InterruptedError):
        outbox.database.write(die_before_the_commit)
    assert rest(outbox, message_id) == MAIL
    assert outbox.get(message_id).state is State.LEASED


def test_it_keeps_its_content_while_it_may_be_sent(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put_code(outbox, clock)
    outbox.record([deferred(claim_one(outbox), clock.now, clock.now)])
    outbox.record([returned(claim_one(outbox), clock.now)])
    outbox.record([unknown(claim_one(outbox), clock.now)])
    assert rest(outbox, message_id) == MAIL

    again = outbox.act(MessageActions.send_again, message_id)
    assert outbox.get(again.id).hidden
    outbox.act(MessageActions.cancel, again.id)
    outbox.act(MessageActions.release, message_id)
    held = claim_one(outbox)
    assert (held.id, held.hidden, held.content) == (message_id, True, MAIL)
    outbox.record([unknown(held, clock.now)])

    outbox.act(MessageActions.drop, message_id)
    assert is_gone(outbox, message_id)


def _fail(outbox: Outbox, clock: Clock) -> str:
    message_id = put_code(outbox, clock)
    outbox.record([failed(claim_one(outbox), clock.now)])
    return message_id


def _cancel(outbox: Outbox, clock: Clock) -> str:
    message_id = put_code(outbox, clock)
    outbox.act(MessageActions.cancel, message_id)
    return message_id


def _stop(outbox: Outbox, clock: Clock) -> str:
    return put_code(outbox, clock, stop=Stop("shop.rest", "nothing on Sundays"))


def _suppress_before(outbox: Outbox, clock: Clock) -> str:
    outbox.suppress(BOB)
    (receipt,) = outbox.enqueue([code(clock, BOB)])
    return receipt.id


def _suppress_after(outbox: Outbox, clock: Clock) -> str:
    message_id = put_code(outbox, clock)
    outbox.suppress(ADA)
    (held,) = outbox.claim(COURIER, "default", 10)
    assert not held.envelope.recipients
    outbox.unsuppress(ADA)
    return message_id


def _poison(outbox: Outbox, clock: Clock) -> str:
    message_id = put_code(outbox, clock)
    for _ in range(3):
        enlist(outbox, OTHER_COURIER)
        outbox.begin(claim_one(outbox, OTHER_COURIER))
        outbox.renew(OTHER_COURIER, 0.0)
        outbox.rescue(hold_unknown=False)
        clock.advance(60.0)
        outbox.rescue(hold_unknown=False)
    return message_id


def _cancel_batch(outbox: Outbox, clock: Clock) -> str:
    batches = BatchStore(outbox)
    progress = batches.begin("codes", None, None, None)
    new = code(clock, batch=progress.id, batch_row=1)
    batches.store_rows(progress, [new], "")
    batches.cancel(progress.id)
    return new.id


ENDS: dict[State, tuple[Callable[[Outbox, Clock], str], ...]] = {
    State.FAILED: (_fail, _poison),
    State.CANCELLED: (_cancel, _stop, _cancel_batch),
    State.SUPPRESSED: (_suppress_before, _suppress_after),
}


def test_its_content_goes_however_it_ends(
    outbox: Outbox, clock: Clock, subtests: pytest.Subtests
) -> None:
    for state, ways in ENDS.items():
        for end in ways:
            with subtests.test(end.__name__):
                message_id = end(outbox, clock)
                assert outbox.get(message_id).state is state
                assert is_gone(outbox, message_id)
                for action in (MessageActions.retry, MessageActions.send_again):
                    with pytest.raises(TransitionRefused, match="sensitive=True"):
                        outbox.act(action, message_id)


def test_a_rendition_of_it_is_hidden_too(outbox: Outbox, clock: Clock) -> None:
    message = Message(None, [ADA])
    message.template = Template("code", {"code": 7}, "de")
    waits = store(message, "shop@example.com", "<one@example.com>", 7.0)
    message_id = put_code(
        outbox, clock, content=waits.enclosures, template=waits.text, subject="hidden"
    )
    assert outbox.get(message_id).template == Template("code", {}, "de")

    held = claim_one(outbox)
    made = Rendition(held, "Your code is 7", MAIL, "code", "abc123", clock.now, 0.25)
    assert outbox.record([], rendered=[made]).lost == []
    assert outbox.get(message_id).subject == "(sensitive)"
    assert rest(outbox, message_id) == MAIL
    outbox.record([sent(held, clock.now)])
    assert is_gone(outbox, message_id)


def test_what_is_released_from_the_dev_inbox_is_hidden(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, sensitivity=Sensitivity.SHOWN)
    outbox.record([sent(claim_one(outbox), clock.now)])
    assert outbox.content(message_id)
    assert outbox.get(message_id).sensitive

    released = outbox.act(MessageActions.send_again, message_id, by="real")
    record = outbox.get(released.id)
    assert (record.hidden, record.subject) == (True, "(sensitive)")
