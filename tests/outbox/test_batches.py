"""Batches on each database: how far they are kept, and that they stop as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import BatchNotFound, TransitionRefused
from flask_outbox.outbox import batches
from flask_outbox.outbox.batch_records import BatchState
from flask_outbox.outbox.batches import Standing
from flask_outbox.outbox.ids import new_id
from flask_outbox.outbox.ledger import Ledger
from flask_outbox.outbox.records import Claim
from flask_outbox.outbox.store import Outbox
from flask_outbox.patience import Patience

from .making import (
    COURIER,
    PATIENCE_SECONDS,
    Clock,
    claim_one,
    deferred,
    enlist,
    failed,
    kinds,
    new_message,
    put,
    sent,
)

PATIENCE = Patience(PATIENCE_SECONDS)


@pytest.fixture
def ledger(outbox: Outbox) -> Ledger:
    enlist(outbox)
    return Ledger(outbox)


def keep(outbox: Outbox, rows: int, standing: Standing | None = None) -> Standing:
    """Keep the next ``rows`` of a batch, or of a new one; how far it is then."""
    ledger = Ledger(outbox)
    standing = standing or ledger.begin("news", None, None, None)
    now = outbox.clock()
    numbers = range(standing.kept + 1, standing.kept + rows + 1)
    messages = [
        new_message(now, f"user{row}@example.org", batch=standing.id, batch_row=row)
        for row in numbers
    ]
    ledger.keep(standing, messages, "digest")
    return ledger.go_on(standing.id, None)


def claimed(outbox: Outbox, limit: int = 100) -> set[int | None]:
    """The rows that can be claimed now."""
    claims = outbox.claim(COURIER, "default", limit)
    return {outbox.get(one.id).batch_row for one in claims}


def counts(outbox: Outbox, standing: Standing) -> dict[State, int]:
    return dict(Ledger(outbox).get(standing.id).counts)


def states_of(outbox: Outbox, ids: Iterable[str]) -> Counter[State]:
    return Counter(outbox.get(one).state for one in ids)


# ------------------------------------------------------------------- handing over


def test_rows_are_kept_with_their_number(outbox: Outbox, ledger: Ledger) -> None:
    standing = keep(outbox, 2)
    assert (standing.kept, standing.digest, standing.ended) == (2, "digest", False)
    assert keep(outbox, 3, standing).kept == 5
    assert ledger.get(standing.id).state is BatchState.ENQUEUEING
    ledger.end(standing.id)
    record = ledger.get(standing.id)
    assert (record.state, record.kept, record.total) == (BatchState.SENDING, 5, 5)
    assert record.counts == {State.PENDING: 5}
    assert claimed(outbox) == {1, 2, 3, 4, 5}


def test_two_hand_overs_of_one_batch_keep_nothing_twice(
    outbox: Outbox, ledger: Ledger
) -> None:
    first = keep(outbox, 2)
    keep(outbox, 2, first)
    with pytest.raises(TransitionRefused, match="by another process at this moment"):
        keep(outbox, 2, first)
    assert ledger.get(first.id).counts == {State.PENDING: 4}


def test_a_key_leads_to_its_batch(outbox: Outbox, ledger: Ledger) -> None:
    first = ledger.begin("news", None, "news-1", 10)
    assert keep(outbox, 1, first).kept == 1
    assert ledger.begin("news", None, "news-1", 10).kept == 1
    assert ledger.begin("news", None, "news-2", 10).id != first.id


def test_why_it_broke_off_is_told_until_it_goes_on(
    outbox: Outbox, ledger: Ledger
) -> None:
    standing = keep(outbox, 1)
    ledger.interrupt(standing.id, "Row 2: no address.")
    record = ledger.get(standing.id)
    assert (record.state, record.error) == (
        BatchState.INTERRUPTED,
        "Row 2: no address.",
    )
    ledger.go_on(standing.id, None)
    assert ledger.get(standing.id).error is None


def test_an_id_that_no_batch_has(ledger: Ledger) -> None:
    nobody = new_id()
    for ask in (ledger.get, ledger.pause, ledger.cancel):
        with pytest.raises(BatchNotFound, match=nobody):
            ask(nobody)


# ----------------------------------------------------------------------- stopping


def test_nothing_of_a_paused_batch_is_claimed(
    outbox: Outbox, other: Outbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "STEP", 2)
    standing = keep(outbox, 5)
    Ledger(other).pause(standing.id)
    alone = put(outbox)
    assert [one.id for one in outbox.claim(COURIER, "default", 10)] == [alone]
    assert ledger.get(standing.id).state is BatchState.PAUSED
    assert counts(outbox, standing) == {State.PAUSED: 5}
    Ledger(other).resume(standing.id, PATIENCE)
    assert claimed(outbox) == {1, 2, 3, 4, 5}


def test_it_stands_still_from_the_first_commit_on(
    outbox: Outbox, ledger: Ledger
) -> None:
    """As where whoever pauses it is killed before the messages are set aside."""
    standing = keep(outbox, 5)
    outbox.database.write(lambda conn: batches.pause(conn, standing.id, 0.0))
    alone = put(outbox, due_at=outbox.clock(), priority=-1)
    assert [one.id for one in outbox.claim(COURIER, "default", 2)] == [alone]
    assert counts(outbox, standing) == {State.PAUSED: 5}


def test_what_a_courier_had_in_hand_is_set_aside_when_it_comes_back(
    outbox: Outbox, ledger: Ledger, clock: Clock
) -> None:
    standing = keep(outbox, 1)
    held = claim_one(outbox)
    ledger.pause(standing.id)
    outbox.record([deferred(held, clock.now, clock.now + 10)])
    clock.advance(10)
    assert claimed(outbox) == set()
    assert counts(outbox, standing) == {State.PAUSED: 1}


def test_what_is_handed_over_to_a_paused_batch_waits_too(
    outbox: Outbox, ledger: Ledger
) -> None:
    standing = keep(outbox, 1)
    ledger.pause(standing.id)
    keep(outbox, 2, standing)
    assert claimed(outbox) == set()
    ledger.resume(standing.id, PATIENCE)
    assert claimed(outbox) == {1, 2, 3}


def test_the_time_of_a_pause_does_not_count(
    outbox: Outbox, ledger: Ledger, clock: Clock
) -> None:
    standing = keep(outbox, 1)
    ledger.pause(standing.id)
    clock.advance(10 * PATIENCE_SECONDS)
    ledger.resume(standing.id, PATIENCE)
    assert claim_one(outbox).give_up_at == pytest.approx(clock.now + PATIENCE_SECONDS)


def test_a_cancelled_batch_never_leaves(
    outbox: Outbox, other: Outbox, ledger: Ledger, clock: Clock
) -> None:
    standing = keep(outbox, 4)
    held = claim_one_of(outbox)
    ledger.pause(standing.id)
    Ledger(other).cancel(standing.id)
    assert counts(outbox, standing) == {State.CANCELLED: 3, State.LEASED: 1}
    outbox.record([deferred(held, clock.now, clock.now)])
    assert claimed(outbox) == set()
    assert counts(outbox, standing) == {State.CANCELLED: 4}
    assert ledger.get(standing.id).state is BatchState.CANCELLED
    record = outbox.get(held.id)
    assert record.recipients[0].state is State.CANCELLED
    assert record.events[-1].what == f"A person cancelled its batch, {standing.id}"
    assert kinds(outbox, held.id) == ["enqueued", "deferred", "cancelled"]


def claim_one_of(outbox: Outbox) -> Claim:
    (held,) = outbox.claim(COURIER, "default", 1)
    return held


def test_cancelling_ends_the_hand_over(outbox: Outbox, ledger: Ledger) -> None:
    standing = keep(outbox, 1)
    ledger.cancel(standing.id)
    with pytest.raises(TransitionRefused, match="was cancelled after row 1"):
        keep(outbox, 1, standing)
    for change in (ledger.pause, lambda one: ledger.resume(one, PATIENCE)):
        with pytest.raises(TransitionRefused, match="that is its end"):
            change(standing.id)
    ledger.cancel(standing.id)


def test_what_is_stopped_cannot_be_retried_alone(
    outbox: Outbox, ledger: Ledger
) -> None:
    standing = keep(outbox, 2)
    first, second = (one.id for one in outbox.list())
    ledger.pause(standing.id)
    with pytest.raises(TransitionRefused, match=r"its batch \w+ is paused"):
        outbox.retry(first, PATIENCE)
    outbox.cancel(first)
    assert states_of(outbox, [first, second]) == {
        State.CANCELLED: 1,
        State.PAUSED: 1,
    }
    ledger.cancel(standing.id)
    with pytest.raises(TransitionRefused, match="'flask outbox send-again'"):
        outbox.retry(second, PATIENCE)


# ------------------------------------------------------------------------- asking


def test_how_it_stands(outbox: Outbox, ledger: Ledger, clock: Clock) -> None:
    standing = keep(outbox, 3)
    ledger.end(standing.id)
    first, second, third = outbox.claim(COURIER, "default", 3)
    clock.advance(2)
    outbox.record([sent(first, clock.now), failed(second, clock.now)])
    record = ledger.get(standing.id)
    assert record.state is BatchState.SENDING
    assert record.counts == {State.SENT: 1, State.FAILED: 1, State.LEASED: 1}
    assert record.finished == 2
    assert record.progress == pytest.approx(2 / 3)
    assert record.per_second(record.began_at) > 1
    outbox.record([sent(third, clock.now)])
    assert ledger.get(standing.id).state is BatchState.DONE
    (failure,) = ledger.failures(standing.id)
    assert (failure.row, failure.message_id) == (
        outbox.get(second.id).batch_row,
        second.id,
    )
    assert (failure.state, failure.reply) == (
        State.FAILED,
        "550 5.1.1 no such user",
    )


def test_failures_are_read_in_steps(
    outbox: Outbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_outbox.outbox.ledger.STEP", 2)
    standing = keep(outbox, 5)
    ledger.cancel(standing.id)
    rows = [one.row for one in ledger.failures(standing.id)]
    assert sorted(rows) == [1, 2, 3, 4, 5]


def test_the_newest_come_first(ledger: Ledger) -> None:
    first, second = (ledger.begin(name, None, None, None).id for name in ("old", "new"))
    assert [one.name for one in ledger.newest()] == ["new", "old"]
    assert [one.id for one in ledger.newest(before=second)] == [first]


def test_a_batch_is_forgotten_with_its_last_message(
    outbox: Outbox, ledger: Ledger, clock: Clock
) -> None:
    old = keep(outbox, 1)
    clock.advance(1)
    new = keep(outbox, 1)
    ledger.end(old.id)
    outbox.record([sent(one, clock.now) for one in outbox.claim(COURIER, "default", 1)])
    clock.advance(100)
    outbox.prune(50, 50)
    with pytest.raises(BatchNotFound):
        ledger.get(old.id)
    assert ledger.get(new.id).kept == 1
