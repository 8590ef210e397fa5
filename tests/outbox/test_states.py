"""Which state of a message may follow which: forbidden changes change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_outbox.delivery import State
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.states import NEXT, ForbiddenTransition, transition

from .making import COURIER, claim_one, put, sent

LANE = "default"


def test_an_attempt_with_a_forbidden_end_is_not_recorded(outbox: Outbox) -> None:
    ids = [put(outbox), put(outbox)]
    good, bad = (sent(one, outbox.clock()) for one in outbox.claim(COURIER, LANE, 2))
    bad = replace(bad, verdict=replace(bad.verdict, state=State.MOVING))

    with pytest.raises(ForbiddenTransition, match="leased cannot become moving"):
        outbox.record([good, bad])

    assert [outbox.get(one).state for one in ids] == [State.LEASED, State.LEASED]


def test_a_change_passes_over_messages_in_other_states(outbox: Outbox) -> None:
    was_sent, waiting = put(outbox), put(outbox, due_at=outbox.clock() + 60)
    outbox.record([sent(claim_one(outbox), outbox.clock())])

    cancel_all = transition({State.PENDING}, State.CANCELLED)
    outbox.database.write(lambda connection: connection.execute(cancel_all))

    assert outbox.get(was_sent).state is State.SENT
    assert outbox.get(waiting).state is State.CANCELLED


def test_a_forbidden_change_cannot_be_declared() -> None:
    with pytest.raises(
        ForbiddenTransition, match="A message that is sent cannot become pending"
    ):
        transition({State.PENDING, State.SENT}, State.PENDING)


def test_each_state_can_be_reached_and_left() -> None:
    assert set(NEXT) == set(State)
    assert {one for following in NEXT.values() for one in following} == set(State)
    assert all(NEXT.values())


def test_only_a_pending_message_is_leased() -> None:
    assert [one for one in State if State.LEASED in NEXT[one]] == [State.PENDING]
