"""Actions of a person on a message: what they change, and when they are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.parser import BytesParser
from email.policy import SMTP

import pytest

from flask_outbox.delivery import Envelope, State
from flask_outbox.errors import MessageNotFound, TransitionRefused
from flask_outbox.history import describe
from flask_outbox.message import Message
from flask_outbox.mime import compose
from flask_outbox.outbox import MessageActions, Outbox

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    KEPT,
    LATER,
    LOST,
    NEVER,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    SENDER,
    Clock,
    claim_one,
    ended,
    failed,
    kinds,
    put,
    sent,
    states,
    unknown,
)
from .meanwhile import meanwhile

Make = Callable[[Outbox], str]

NOBODY = "01M8R0E7N6VTH1JFKA3YCJ3SP8"
ENVELOPE = Envelope(SENDER, (ADA, BOB), True, ("BODY=8BITMIME",), ("NOTIFY=NEVER",))

MESSAGE = Message(
    "Größe",
    [ADA, BOB],
    "Hello\n\nMessage-ID: of the text\n",
    html="<p>Hello</p>",
    sender=SENDER,
)


def pending(outbox: Outbox) -> str:
    return put(outbox, due_at=outbox.clock() + 60)


def leased(outbox: Outbox) -> str:
    return put(outbox, owner=COURIER)


def was_sent(outbox: Outbox) -> str:
    message_id = put(outbox)
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    return message_id


def has_failed(outbox: Outbox) -> str:
    message_id = put(outbox)
    outbox.record([failed(claim_one(outbox), outbox.clock())])
    return message_id


def is_unknown(outbox: Outbox) -> str:
    message_id = put(outbox)
    outbox.record([unknown(claim_one(outbox), outbox.clock())])
    return message_id


def cancelled(outbox: Outbox) -> str:
    message_id = pending(outbox)
    outbox.act(MessageActions.cancel, message_id)
    return message_id


def pruned(outbox: Outbox) -> str:
    message_id = has_failed(outbox)
    outbox.prune(-1, PATIENCE_SECONDS)
    return message_id


# ------------------------------------------------------------------------------- cancel


@pytest.mark.parametrize("make", [pending, is_unknown])
def test_a_waiting_message_is_cancelled(
    outbox: Outbox, clock: Clock, make: Make
) -> None:
    message_id = make(outbox)

    outbox.act(MessageActions.cancel, message_id)

    assert outbox.get(message_id).state is State.CANCELLED
    assert states(outbox, message_id) == {ADA: State.CANCELLED}
    assert kinds(outbox, message_id)[-1] == "cancelled"
    clock.advance(PATIENCE_SECONDS)
    assert outbox.claim(COURIER, "default", 10) == []
    assert outbox.resend_unknown() == []


def test_cancelling_leaves_finished_recipients_unchanged(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, ADA, BOB, CY)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.PENDING, LATER),
    }
    held = claim_one(outbox)
    outbox.record([ended(held, clock.now, State.PENDING, answers, due_at=clock.now)])

    outbox.act(MessageActions.cancel, message_id)

    assert states(outbox, message_id) == {
        ADA: State.SENT,
        BOB: State.FAILED,
        CY: State.CANCELLED,
    }


CANCEL_REFUSED = [
    (
        leased,
        "Message {} is being delivered right now and cannot be cancelled. If the "
        "attempt is deferred, cancel it then.",
    ),
    (was_sent, "Message {} is sent: there is nothing to cancel."),
    (has_failed, "Message {} is failed: there is nothing to cancel."),
    (cancelled, "Message {} is cancelled: there is nothing to cancel."),
]


@pytest.mark.parametrize(
    ("make", "words"), CANCEL_REFUSED, ids=["leased", "sent", "failed", "cancelled"]
)
def test_cancel_refused(outbox: Outbox, make: Make, words: str) -> None:
    message_id = make(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.act(MessageActions.cancel, message_id)

    assert str(refused.value) == words.format(message_id)
    assert outbox.get(message_id) == before


def test_a_message_is_either_cancelled_or_claimed(
    outbox: Outbox, other: Outbox
) -> None:
    message_id = put(outbox)

    with meanwhile(
        outbox, "UPDATE", lambda: other.claim(COURIER, "default", 10)
    ) as claim:
        outbox.act(MessageActions.cancel, message_id)

    assert claim.result() == []
    assert outbox.get(message_id).state is State.CANCELLED


# -------------------------------------------------------------------------------- retry


@pytest.mark.parametrize("make", [pending, has_failed, is_unknown, cancelled])
def test_a_retried_message_is_due_now(outbox: Outbox, clock: Clock, make: Make) -> None:
    message_id = make(outbox)
    clock.advance(10)

    outbox.act(MessageActions.retry, message_id)

    assert outbox.get(message_id).state is State.PENDING
    assert states(outbox, message_id) == {ADA: State.PENDING}
    assert kinds(outbox, message_id)[-1] == "retried"
    held = claim_one(outbox)
    assert held.id == message_id
    assert held.envelope.recipients == (ADA,)
    assert held.give_up_at == clock.now + RETRY_SECONDS


def test_a_retry_is_for_recipients_who_did_not_get_the_message(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, ADA, BOB, CY)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.UNKNOWN, LOST),
    }
    outbox.record([ended(claim_one(outbox), clock.now, State.UNKNOWN, answers)])

    outbox.act(MessageActions.retry, message_id)

    assert claim_one(outbox).envelope.recipients == (BOB, CY)
    assert states(outbox, message_id)[ADA] is State.SENT


def test_a_retried_message_keeps_its_number_of_attempts(outbox: Outbox) -> None:
    message_id = has_failed(outbox)

    outbox.act(MessageActions.retry, message_id)

    assert claim_one(outbox).attempt == 2


def test_a_retried_message_is_not_pruned(outbox: Outbox, clock: Clock) -> None:
    message_id = has_failed(outbox)
    outbox.act(MessageActions.retry, message_id)
    clock.advance(PATIENCE_SECONDS)

    assert not outbox.prune(0, 0)

    assert outbox.content(message_id) is not None


RETRY_REFUSED = [
    (was_sent, "Message {} was sent to every recipient: there is nothing to retry."),
    (leased, "Message {} is being delivered right now."),
    (
        pruned,
        "Message {} cannot be retried: its content was pruned (OUTBOX_KEEP_BODIES) "
        "or erased.",
    ),
]


@pytest.mark.parametrize(
    ("make", "words"), RETRY_REFUSED, ids=["sent", "leased", "pruned"]
)
def test_retry_refused(outbox: Outbox, make: Make, words: str) -> None:
    message_id = make(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.act(MessageActions.retry, message_id)

    assert str(refused.value) == words.format(message_id)
    assert outbox.get(message_id) == before


# -------------------------------------------------------- deciding what nobody can know


def partly_unknown(outbox: Outbox) -> str:
    message_id = put(outbox, ADA, BOB, CY)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.UNKNOWN, LOST),
    }
    held = claim_one(outbox)
    outbox.record([ended(held, outbox.clock(), State.UNKNOWN, answers)])
    return message_id


def test_a_release_is_for_unknown_recipients_only(outbox: Outbox, clock: Clock) -> None:
    message_id = partly_unknown(outbox)
    clock.advance(10)

    outbox.act(MessageActions.release, message_id)

    assert kinds(outbox, message_id)[-1] == "resend_confirmed"
    held = claim_one(outbox)
    assert held.envelope.recipients == (CY,)
    assert held.give_up_at == clock.now + RETRY_SECONDS
    assert states(outbox, message_id)[BOB] is State.FAILED


def test_drop_sends_nothing(outbox: Outbox, clock: Clock) -> None:
    message_id = partly_unknown(outbox)

    outbox.act(MessageActions.drop, message_id)

    assert outbox.get(message_id).state is State.CANCELLED
    assert states(outbox, message_id) == {
        ADA: State.SENT,
        BOB: State.FAILED,
        CY: State.CANCELLED,
    }
    assert kinds(outbox, message_id)[-1] == "dropped"
    clock.advance(PATIENCE_SECONDS)
    assert outbox.resend_unknown() == []
    assert outbox.claim(COURIER, "default", 10) == []


@pytest.mark.parametrize("make", [pending, leased, was_sent, has_failed, cancelled])
@pytest.mark.parametrize(
    "decide",
    [MessageActions.release, MessageActions.drop],
    ids=["release", "drop"],
)
def test_only_unknown_messages_are_released_or_dropped(
    outbox: Outbox, make: Make, decide: Callable[[MessageActions], None]
) -> None:
    message_id = make(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused, match="only an unknown message can be"):
        outbox.act(decide, message_id)

    assert outbox.get(message_id) == before


# --------------------------------------------------------------------------- once again


def test_a_sent_message_is_sent_again_as_a_new_message(
    outbox: Outbox, clock: Clock
) -> None:
    first = put(
        outbox,
        ADA,
        BOB,
        tag="orders",
        lane="default",
        priority=5,
        key="order-7",
        metadata='{"order":7}',
        envelope=Envelope(
            SENDER, (ADA, BOB), True, ("BODY=8BITMIME",), ("NOTIFY=NEVER",)
        ),
        content=compose(MESSAGE, unique="first").content,
    )
    outbox.record([sent(claim_one(outbox), clock.now)])
    clock.advance(10)

    receipt = outbox.act(MessageActions.send_again, first)

    held = claim_one(outbox)
    assert held.id == receipt.id != first
    assert held.envelope == replace(ENVELOPE, message_id=receipt.id)
    assert held.give_up_at == clock.now + RETRY_SECONDS
    record = outbox.get(receipt.id)
    assert (record.tag, record.priority, record.key) == ("orders", 5, None)
    assert record.metadata == {"order": 7}
    assert record.rfc_message_id == f"<{receipt.id}@example.org>"
    enqueued = describe(record)[0]
    assert enqueued.what == f"A person sent message {first} again, as this one"
    told = describe(outbox.get(first))[-1]
    assert (told.event.kind, told.output) == ("sent_again", f"id {receipt.id}")
    assert outbox.get(first).state is State.SENT


def test_a_message_sent_again_has_a_new_id_and_the_same_content(
    outbox: Outbox, clock: Clock
) -> None:
    first = put(outbox, content=compose(MESSAGE, unique="first", now=1.0).content)
    outbox.record([sent(claim_one(outbox), clock.now)])

    receipt = outbox.act(MessageActions.send_again, first)

    before, after = (outbox.content(one) or b"" for one in (first, receipt.id))
    old, new = (BytesParser(policy=SMTP).parsebytes(one) for one in (before, after))
    assert new["Message-ID"] == receipt.rfc_message_id
    assert new["Date"] != old["Date"]
    for message in (old, new):
        del message["Message-ID"], message["Date"]
    assert new.as_bytes() == old.as_bytes()
    assert after.count(b"Message-ID:") == before.count(b"Message-ID:") == 2


@pytest.mark.parametrize("make", [was_sent, has_failed, is_unknown, cancelled])
def test_every_finished_message_can_be_sent_again(outbox: Outbox, make: Make) -> None:
    message_id = make(outbox)

    receipt = outbox.act(MessageActions.send_again, message_id)

    assert outbox.get(receipt.id).state is State.PENDING


AGAIN_REFUSED = [
    (pending, "Message {} is pending: only a finished message can be sent again."),
    (leased, "Message {} is leased: only a finished message can be sent again."),
    (
        pruned,
        "Message {} cannot be sent again: its content was pruned "
        "(OUTBOX_KEEP_BODIES) or erased.",
    ),
]


@pytest.mark.parametrize(
    ("make", "words"), AGAIN_REFUSED, ids=["pending", "leased", "pruned"]
)
def test_sending_again_refused(outbox: Outbox, make: Make, words: str) -> None:
    message_id = make(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.act(MessageActions.send_again, message_id)

    assert str(refused.value) == words.format(message_id)
    assert outbox.get(message_id) == before
    assert len(outbox.list()) == 1


# -------------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    "act",
    [
        lambda outbox: outbox.get(NOBODY),
        lambda outbox: outbox.act(MessageActions.cancel, NOBODY),
        lambda outbox: outbox.act(MessageActions.retry, NOBODY),
        lambda outbox: outbox.act(MessageActions.release, NOBODY),
        lambda outbox: outbox.act(MessageActions.drop, NOBODY),
        lambda outbox: outbox.act(MessageActions.send_again, NOBODY),
    ],
    ids=["get", "cancel", "retry", "release", "drop", "again"],
)
def test_an_unknown_id_is_refused(
    outbox: Outbox, act: Callable[[Outbox], object]
) -> None:
    with pytest.raises(MessageNotFound, match=f"No message has the id '{NOBODY}'"):
        act(outbox)


@pytest.mark.parametrize("odd", ["a\x00b", "half \ud800"])
def test_an_id_that_no_database_stores_is_unknown(outbox: Outbox, odd: str) -> None:
    """The outbox was said to be unusable, or it was no error of ours."""
    with pytest.raises(MessageNotFound, match="No message has the id"):
        outbox.get(odd)
    with pytest.raises(MessageNotFound, match="No message has the id"):
        outbox.act(MessageActions.cancel, odd)
    assert outbox.content(odd) is None
