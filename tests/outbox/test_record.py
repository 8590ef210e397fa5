"""Recording the results of attempts, which needs a valid lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_outbox.delivery import State
from flask_outbox.events import EventKind
from flask_outbox.history import describe
from flask_outbox.outbox import Outbox, Record
from flask_outbox.outbox.enqueue import event_row
from flask_outbox.outbox.records import Claim

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    KEPT,
    LATER,
    LOST,
    NEVER,
    OTHER_COURIER,
    Clock,
    began,
    claim_one,
    deferred,
    ended,
    failed,
    kinds,
    put,
    returned,
    sent,
    states,
    unknown,
)


def record(outbox: Outbox, *records: Record) -> None:
    """Record ends whose leases hold."""
    assert outbox.record(records).lost == []


# --------------------------------------------------------------------- what comes of it


def test_a_sent_message_is_recorded(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    held = claim_one(outbox)

    record(outbox, sent(held, clock.now + 1.5))

    found = outbox.get(message_id)
    assert found.state is State.SENT
    assert [(one.state, one.reply) for one in found.recipients] == [
        (State.SENT, KEPT),
        (State.SENT, KEPT),
    ]
    assert kinds(outbox, message_id) == ["enqueued", "sent"]
    assert found.events[-1].at.timestamp() == pytest.approx(clock.now + 1.5, abs=1e-6)
    assert outbox.leased_to(COURIER) == []
    assert outbox.claim(COURIER, "default", 10) == []


def test_a_deferred_message_is_claimed_for_pending_recipients(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, ADA, BOB, CY)
    held = claim_one(outbox)
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.PENDING, LATER),
        CY: (State.FAILED, NEVER),
    }

    record(
        outbox,
        ended(held, clock.now, State.PENDING, answers, due_at=clock.now + 30),
    )

    assert outbox.get(message_id).state is State.PENDING
    assert outbox.claim(COURIER, "default", 10) == []
    clock.advance(30)
    again = claim_one(outbox)
    assert again.envelope.recipients == (BOB,)
    assert again.settled == {State.SENT, State.FAILED}
    assert again.attempt == 2
    assert again.content == held.content
    assert outbox.get(message_id).rfc_message_id == f"<{message_id}@example.org>"


def test_finished_recipients_are_not_changed(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    answers = {ADA: (State.FAILED, NEVER), BOB: (State.PENDING, LATER)}
    held = claim_one(outbox)
    record(outbox, ended(held, clock.now, State.PENDING, answers, due_at=clock.now))

    again = claim_one(outbox)
    record(
        outbox,
        ended(again, clock.now, State.FAILED, {BOB: (State.SENT, KEPT)}),
    )

    found = outbox.get(message_id)
    assert found.state is State.FAILED
    assert [(one.address, one.state, one.reply) for one in found.recipients] == [
        (ADA, State.FAILED, NEVER),
        (BOB, State.SENT, KEPT),
    ]


def test_a_failed_message_is_recorded(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA)

    record(outbox, failed(claim_one(outbox), clock.now))

    found = outbox.get(message_id)
    assert found.state is State.FAILED
    assert found.recipients[0].reply == NEVER
    assert kinds(outbox, message_id) == ["enqueued", "failed"]
    assert outbox.claim(COURIER, "default", 10) == []


def test_unknown_is_not_tried_again_by_claiming(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA)

    record(outbox, unknown(claim_one(outbox), clock.now, clock.now + 300))

    found = outbox.get(message_id)
    assert found.state is State.UNKNOWN
    assert found.recipients[0].reply == LOST
    clock.advance(301)
    assert outbox.claim(COURIER, "default", 10) == []


def test_a_return_spends_no_attempt(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA)
    record(outbox, returned(claim_one(outbox), clock.now))

    found = outbox.get(message_id)
    assert found.state is State.PENDING
    assert found.due_at.timestamp() == pytest.approx(clock.now, abs=1e-6)
    assert states(outbox, message_id) == {ADA: State.PENDING}
    assert kinds(outbox, message_id) == ["enqueued", "returned"]
    assert claim_one(outbox).attempt == 1


def test_returned_keeps_the_attempts_that_were_spent(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox)
    record(outbox, deferred(claim_one(outbox), clock.now, clock.now))
    record(outbox, returned(claim_one(outbox), clock.now))

    assert claim_one(outbox).attempt == 2


@pytest.mark.parametrize("text", ["Größe 🎈 \\ ' \" %s %(x)s :name ?", "x" * 5_000])
def test_a_reply_is_read_back_unchanged(
    outbox: Outbox, clock: Clock, text: str
) -> None:
    message_id = put(outbox, ADA)
    reply = replace(NEVER, text=text)
    held = claim_one(outbox)

    record(outbox, ended(held, clock.now, State.FAILED, {ADA: (State.FAILED, reply)}))

    assert outbox.get(message_id).recipients[0].reply == reply
    assert describe(outbox.get(message_id))[-1].output == str(reply)


def test_many_records_are_written_at_once(outbox: Outbox, clock: Clock) -> None:
    for _ in range(50):
        put(outbox, ADA, BOB)
    claims = outbox.claim(COURIER, "default", 50)

    record(outbox, *(sent(held, clock.now) for held in claims))

    assert outbox.status().counts[State.SENT] == 50


# -------------------------------------------------------------------------------- notes


def test_a_note_changes_no_state(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    note = event_row(
        message_id,
        clock.now,
        EventKind.RESPONDED,
        status=202,
        handover_seconds=0.01,
        response_seconds=0.02,
    )

    assert outbox.record([], [note]).lost == []

    found = outbox.get(message_id)
    assert found.state is State.PENDING
    assert kinds(outbox, message_id) == ["enqueued", "responded"]
    assert found.events[-1].detail["status"] == 202


def test_notes_come_with_records(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)

    outbox.record([sent(held, clock.now + 1)], [began(held, clock.now)])

    assert kinds(outbox, message_id) == ["enqueued", "began", "sent"]


def test_a_late_note_is_placed_by_its_time(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)
    outbox.record([sent(held, clock.now + 2)])
    outbox.record([], [began(held, clock.now + 1)])

    assert kinds(outbox, message_id) == ["enqueued", "began", "sent"]


def test_a_note_on_a_deleted_message_harms_no_record(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)
    gone = replace(held, id="01GONE00000000000000000000")

    lost = outbox.record([sent(held, clock.now)], [began(gone, clock.now)]).lost

    assert lost == []
    assert outbox.get(message_id).state is State.SENT


# -------------------------------------------------------------------------------- begin


def test_an_attempt_can_begin_only_with_the_lease(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    held = claim_one(outbox)

    assert outbox.begin(held)
    assert outbox.begin(held)
    record(outbox, deferred(held, clock.now, clock.now))
    assert not outbox.begin(held)


def test_a_recorded_beginning_is_cleared_when_the_attempt_ends(
    outbox: Outbox, clock: Clock
) -> None:
    """What ended is no crash, whoever dies afterwards."""
    put(outbox)
    held = claim_one(outbox)
    outbox.begin(held)
    record(outbox, returned(held, clock.now))
    claim_one(outbox)

    outbox.rescue(hold_unknown=True)

    assert outbox.status().counts[State.UNKNOWN] == 0


# ------------------------------------------------------------------------------ fencing

STALE = {
    "an older token": {"token": 0},
    "a token that never was": {"token": 99},
    "another owner": {"owner": OTHER_COURIER},
    "another message": {"id": "01NOBODY000000000000000000"},
}


@pytest.mark.parametrize("changes", STALE.values(), ids=STALE.keys())
def test_without_the_lease_nothing_changes(
    outbox: Outbox, clock: Clock, changes: dict[str, object]
) -> None:
    message_id = put(outbox, ADA, BOB)
    held = claim_one(outbox)
    before = outbox.get(message_id)
    stale: Claim = replace(held, **changes)  # type: ignore[arg-type]

    assert outbox.record([failed(stale, clock.now)]).lost == [stale]
    assert not outbox.begin(stale)

    assert outbox.get(message_id) == before
    assert outbox.leased_to(COURIER) == [message_id]
    assert outbox.record([sent(held, clock.now)]).lost == []


def test_a_lease_ends_with_its_record(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)
    record(outbox, sent(held, clock.now))
    before = outbox.get(message_id)

    assert outbox.record([failed(held, clock.now)]).lost == [held]

    assert outbox.get(message_id) == before


def test_a_lease_ends_when_another_takes_over(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    old = claim_one(outbox)
    outbox.rescue(hold_unknown=False)
    new = claim_one(outbox, OTHER_COURIER)

    assert outbox.record([failed(old, clock.now)]).lost == [old]
    assert outbox.get(message_id).state is State.LEASED
    assert outbox.record([sent(new, clock.now)]).lost == []
    assert outbox.get(message_id).state is State.SENT


def test_a_lost_lease_harms_no_other_record(outbox: Outbox, clock: Clock) -> None:
    ids = [put(outbox) for _ in range(3)]
    claims = {held.id: held for held in outbox.claim(COURIER, "default", 3)}
    lost = replace(claims[ids[1]], token=0)

    records = [sent(claims[ids[0]], clock.now), sent(lost, clock.now)]
    records.append(sent(claims[ids[2]], clock.now))

    assert outbox.record(records).lost == [lost]
    assert [outbox.get(one).state for one in ids] == [
        State.SENT,
        State.LEASED,
        State.SENT,
    ]


def test_the_same_record_twice_in_one_batch_counts_once(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)

    recorded = outbox.record([sent(held, clock.now), failed(held, clock.now)])

    assert recorded.lost == [held]
    assert outbox.get(message_id).state is State.SENT
    assert states(outbox, message_id) == {ADA: State.SENT}
    assert kinds(outbox, message_id) == ["enqueued", "sent"]


def test_a_reply_for_each_of_many_recipients(outbox: Outbox, clock: Clock) -> None:
    everyone = [f"reader-{number}@example.org" for number in range(2_000)]
    message_id = put(outbox, *everyone)

    assert outbox.record([sent(claim_one(outbox), clock.now)]).lost == []

    recipients = outbox.get(message_id).recipients
    assert len(recipients) == len(everyone)
    assert {one.state for one in recipients} == {State.SENT}
    assert all(one.reply for one in recipients)
