"""The guard in the outbox itself: kept back as if on the list, on each database."""

from __future__ import annotations

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import TransitionRefused
from flask_outbox.guard import Guard
from flask_outbox.outbox.database import Database
from flask_outbox.outbox.store import Outbox
from flask_outbox.patience import Patience
from flask_outbox.rate import Limit

from .making import ADA, BOB, COURIER, PATIENCE_SECONDS, Clock, claim_one, put, states

QA = "qa@example.com"
WHY = "not in OUTBOX_ONLY_TO: only @example.com may be"


@pytest.fixture
def guarded(database: Database, clock: Clock) -> Outbox:
    """The same outbox as an app opens it that is no production."""
    return Outbox(database, clock, Guard.read(["@example.com"], None))


def test_what_waits_is_claimed_for_those_inside(
    outbox: Outbox, guarded: Outbox
) -> None:
    message_id = put(outbox, ADA, QA)

    held = claim_one(guarded)

    assert (held.envelope.recipients, held.suppressed) == ((QA,), {ADA: WHY})
    assert states(outbox, message_id) == {ADA: State.SUPPRESSED, QA: State.PENDING}


def test_what_waits_for_nobody_inside_is_settled(
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
        guarded.retry(message_id, Patience(PATIENCE_SECONDS))
    outbox.retry(message_id, Patience(PATIENCE_SECONDS))
    assert claim_one(outbox).envelope.recipients == (ADA, BOB)


def test_the_list_has_the_first_word(guarded: Outbox) -> None:
    guarded.suppress(ADA, reason="asked us to")

    why = guarded.barred([ADA, BOB, QA], None)

    assert str(why[ADA]).endswith(": asked us to")
    assert str(why[BOB]) == WHY
    assert QA not in why
