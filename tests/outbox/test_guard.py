"""The recipient guard in the outbox: it acts like a suppression, on each database."""

from __future__ import annotations

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import TransitionRefused
from flask_outbox.limits import Limit
from flask_outbox.outbox import Database, MessageActions, Outbox
from flask_outbox.recipient_guard import Guard

from .making import ADA, BOB, COURIER, Clock, claim_one, put, states

QA = "qa@example.com"
WHY = "not in OUTBOX_ONLY_TO: only @example.com may be"


@pytest.fixture
def guarded(database: Database, clock: Clock) -> Outbox:
    """The same outbox as an app opens it that is no production."""
    return Outbox(database, clock, Guard.read(["@example.com"], None))


def test_waiting_mail_is_claimed_for_allowed_recipients_only(
    outbox: Outbox, guarded: Outbox
) -> None:
    message_id = put(outbox, ADA, QA)

    held = claim_one(guarded)

    assert (held.envelope.recipients, held.suppressed) == ((QA,), {ADA: WHY})
    assert states(outbox, message_id) == {ADA: State.SUPPRESSED, QA: State.PENDING}


def test_waiting_mail_without_allowed_recipients_is_suppressed(
    outbox: Outbox, guarded: Outbox
) -> None:
    """Within limits too; and a retry is refused until the guard is off."""
    message_id = put(outbox, ADA, BOB)
    limits = (Limit(10, 1),)

    ((held,), _) = guarded.claim_within(
        COURIER, "default", 5, by="default", limits=limits
    )

    assert held.envelope.recipients == ()
    assert outbox.get(message_id).state is State.SUPPRESSED
    with pytest.raises(TransitionRefused, match=WHY):
        guarded.act(MessageActions.retry, message_id)
    outbox.act(MessageActions.retry, message_id)
    assert claim_one(outbox).envelope.recipients == (ADA, BOB)


def test_the_suppression_list_comes_before_the_guard(guarded: Outbox) -> None:
    guarded.suppress(ADA, reason="asked us to")

    why = guarded.barred([ADA, BOB, QA], None)

    assert str(why[ADA]).endswith(": asked us to")
    assert str(why[BOB]) == WHY
    assert QA not in why
