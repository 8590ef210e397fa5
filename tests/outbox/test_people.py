"""What a person may do to a message, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import MessageNotFound, TransitionRefused
from flask_outbox.outbox.store import Outbox

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
    outbox.cancel(message_id)
    return message_id


def pruned(outbox: Outbox) -> str:
    message_id = has_failed(outbox)
    outbox.prune(-1, PATIENCE_SECONDS)
    return message_id


# ------------------------------------------------------------------------------- cancel


@pytest.mark.parametrize("make", [pending, is_unknown])
def test_cancel(outbox: Outbox, clock: Clock, make: Make) -> None:
    message_id = make(outbox)

    outbox.cancel(message_id)

    assert outbox.get(message_id).state is State.CANCELLED
    assert states(outbox, message_id) == {ADA: State.CANCELLED}
    assert kinds(outbox, message_id)[-1] == "cancelled"
    clock.advance(PATIENCE_SECONDS)
    assert outbox.claim(COURIER, "default", 10) == []
    assert outbox.resend_unknown() == []


def test_cancel_leaves_what_is_settled(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB, CY)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.PENDING, LATER),
    }
    held = claim_one(outbox)
    outbox.record([ended(held, clock.now, State.PENDING, answers, due_at=clock.now)])

    outbox.cancel(message_id)

    assert states(outbox, message_id) == {
        ADA: State.SENT,
        BOB: State.FAILED,
        CY: State.CANCELLED,
    }


CANCEL_REFUSED = [
    (
        leased,
        "Message {} is being delivered at this moment and cannot be cancelled. If the "
        "attempt is put off, cancel it then.",
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
        outbox.cancel(message_id)

    assert str(refused.value) == words.format(message_id)
    assert outbox.get(message_id) == before


def test_cancel_and_claim_never_both(outbox: Outbox, other: Outbox) -> None:
    message_id = put(outbox)

    with meanwhile(
        outbox, "UPDATE", lambda: other.claim(COURIER, "default", 10)
    ) as claim:
        outbox.cancel(message_id)

    assert claim.result() == []
    assert outbox.get(message_id).state is State.CANCELLED


# -------------------------------------------------------------------------------- retry


@pytest.mark.parametrize("make", [pending, has_failed, is_unknown, cancelled])
def test_retry_is_due_now(outbox: Outbox, clock: Clock, make: Make) -> None:
    message_id = make(outbox)
    clock.advance(10)

    outbox.retry(message_id, patience_seconds=500)

    assert outbox.get(message_id).state is State.PENDING
    assert states(outbox, message_id) == {ADA: State.PENDING}
    assert kinds(outbox, message_id)[-1] == "retried"
    held = claim_one(outbox)
    assert held.id == message_id
    assert held.envelope.recipients == (ADA,)
    assert held.give_up_at == clock.now + 500


def test_retry_is_for_those_who_have_not_got_it(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB, CY)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.UNKNOWN, LOST),
    }
    outbox.record([ended(claim_one(outbox), clock.now, State.UNKNOWN, answers)])

    outbox.retry(message_id, patience_seconds=500)

    assert claim_one(outbox).envelope.recipients == (BOB, CY)
    assert states(outbox, message_id)[ADA] is State.SENT


def test_a_retried_message_goes_on_counting(outbox: Outbox) -> None:
    message_id = has_failed(outbox)

    outbox.retry(message_id, patience_seconds=500)

    assert claim_one(outbox).attempt == 2


def test_a_retried_message_is_not_pruned(outbox: Outbox, clock: Clock) -> None:
    message_id = has_failed(outbox)
    outbox.retry(message_id, patience_seconds=500)
    clock.advance(PATIENCE_SECONDS)

    assert not outbox.prune(0, 0)

    assert outbox.content(message_id) is not None


RETRY_REFUSED = [
    (was_sent, "Message {} was sent to everyone: there is nobody to retry."),
    (leased, "Message {} is being delivered right now."),
    (
        pruned,
        "Message {} cannot be retried: its content was pruned (OUTBOX_KEEP_BODIES).",
    ),
]


@pytest.mark.parametrize(
    ("make", "words"), RETRY_REFUSED, ids=["sent", "leased", "pruned"]
)
def test_retry_refused(outbox: Outbox, make: Make, words: str) -> None:
    message_id = make(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.retry(message_id, patience_seconds=500)

    assert str(refused.value) == words.format(message_id)
    assert outbox.get(message_id) == before


# -------------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    "act",
    [
        lambda outbox: outbox.get("01NOBODY"),
        lambda outbox: outbox.cancel("01NOBODY"),
        lambda outbox: outbox.retry("01NOBODY", 1),
    ],
    ids=["get", "cancel", "retry"],
)
def test_what_nobody_knows(outbox: Outbox, act: Callable[[Outbox], object]) -> None:
    with pytest.raises(MessageNotFound, match="No message has the id '01NOBODY'"):
        act(outbox)
