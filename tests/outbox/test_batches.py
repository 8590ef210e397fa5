"""Batches on each database: their progress, and that they stop as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import BatchNotFound, TransitionRefused
from flask_outbox.history import describe
from flask_outbox.outbox import MessageActions, Outbox, batches, new_id
from flask_outbox.outbox.batch_store import BatchStore
from flask_outbox.outbox.batches import BatchProgress
from flask_outbox.outbox.records import BatchState, Claim

from .making import (
    COURIER,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
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


@pytest.fixture
def store(outbox: Outbox) -> BatchStore:
    enlist(outbox)
    return BatchStore(outbox)


def keep(
    outbox: Outbox, rows: int, progress: BatchProgress | None = None
) -> BatchProgress:
    """Keep the next ``rows`` of a batch, or of a new one; how far it is then."""
    store = BatchStore(outbox)
    progress = progress or store.begin("news", None, None, None)
    now = outbox.clock()
    numbers = range(progress.rows_stored + 1, progress.rows_stored + rows + 1)
    messages = [
        new_message(now, f"user{row}@example.org", batch=progress.id, batch_row=row)
        for row in numbers
    ]
    store.store_rows(progress, messages, "digest")
    return store.resume_hand_over(progress.id, None)


def claimed(outbox: Outbox, limit: int = 100) -> set[int | None]:
    """The rows that can be claimed now."""
    claims = outbox.claim(COURIER, "default", limit)
    return {outbox.get(one.id).batch_row for one in claims}


def counts(outbox: Outbox, progress: BatchProgress) -> dict[State, int]:
    return dict(BatchStore(outbox).get(progress.id).counts)


def states_of(outbox: Outbox, ids: Iterable[str]) -> Counter[State]:
    return Counter(outbox.get(one).state for one in ids)


# ------------------------------------------------------------------- handing over


def test_rows_are_stored_with_their_number(outbox: Outbox, store: BatchStore) -> None:
    progress = keep(outbox, 2)
    assert (progress.rows_stored, progress.digest, progress.ended) == (
        2,
        "digest",
        False,
    )
    assert keep(outbox, 3, progress).rows_stored == 5
    assert store.get(progress.id).state is BatchState.ENQUEUEING
    store.end(progress.id)
    record = store.get(progress.id)
    assert (record.state, record.rows_stored, record.total) == (
        BatchState.SENDING,
        5,
        5,
    )
    assert record.counts == {State.PENDING: 5}
    assert claimed(outbox) == {1, 2, 3, 4, 5}


def test_two_processes_store_no_row_of_a_batch_twice(
    outbox: Outbox, store: BatchStore
) -> None:
    first = keep(outbox, 2)
    keep(outbox, 2, first)
    with pytest.raises(TransitionRefused, match="Another process is storing rows"):
        keep(outbox, 2, first)
    assert store.get(first.id).counts == {State.PENDING: 4}


def test_a_key_finds_its_batch(outbox: Outbox, store: BatchStore) -> None:
    first = store.begin("news", None, "news-1", 10)
    assert keep(outbox, 1, first).rows_stored == 1
    assert store.begin("news", None, "news-1", 10).rows_stored == 1
    assert store.begin("news", None, "news-2", 10).id != first.id


def test_the_error_is_shown_until_the_batch_is_resumed(
    outbox: Outbox, store: BatchStore
) -> None:
    progress = keep(outbox, 1)
    store.interrupt(progress.id, "Row 2: no address.")
    record = store.get(progress.id)
    assert (record.state, record.error) == (
        BatchState.INTERRUPTED,
        "Row 2: no address.",
    )
    store.resume_hand_over(progress.id, None)
    assert store.get(progress.id).error is None


def test_an_unknown_batch_id_is_refused(store: BatchStore) -> None:
    nobody = new_id()
    for ask in (store.get, store.pause, store.cancel):
        with pytest.raises(BatchNotFound, match=nobody):
            ask(nobody)


# ----------------------------------------------------------------------- stopping


def test_nothing_of_a_paused_batch_is_claimed(
    outbox: Outbox, other: Outbox, store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "STEP", 2)
    progress = keep(outbox, 5)
    BatchStore(other).pause(progress.id)
    alone = put(outbox)
    assert [one.id for one in outbox.claim(COURIER, "default", 10)] == [alone]
    assert store.get(progress.id).state is BatchState.PAUSED
    assert counts(outbox, progress) == {State.PAUSED: 5}
    BatchStore(other).resume(progress.id)
    assert claimed(outbox) == {1, 2, 3, 4, 5}


def test_a_pause_that_was_interrupted_halfway_applies_to_all_rows(
    outbox: Outbox, store: BatchStore
) -> None:
    """As where whoever pauses it is killed before the messages are set aside."""
    progress = keep(outbox, 5)
    outbox.database.write(lambda conn: batches.pause(conn, progress.id, 0.0))
    alone = put(outbox, due_at=outbox.clock(), priority=-1)
    assert [one.id for one in outbox.claim(COURIER, "default", 2)] == [alone]
    assert counts(outbox, progress) == {State.PAUSED: 5}


def test_a_leased_message_of_a_paused_batch_is_paused_once_returned(
    outbox: Outbox, store: BatchStore, clock: Clock
) -> None:
    progress = keep(outbox, 1)
    held = claim_one(outbox)
    store.pause(progress.id)
    outbox.record([deferred(held, clock.now, clock.now + 10)])
    clock.advance(10)
    assert claimed(outbox) == set()
    assert counts(outbox, progress) == {State.PAUSED: 1}


def test_rows_added_to_a_paused_batch_wait(outbox: Outbox, store: BatchStore) -> None:
    progress = keep(outbox, 1)
    store.pause(progress.id)
    keep(outbox, 2, progress)
    assert claimed(outbox) == set()
    store.resume(progress.id)
    assert claimed(outbox) == {1, 2, 3}


def test_the_retry_window_excludes_the_pause(
    outbox: Outbox, store: BatchStore, clock: Clock
) -> None:
    progress = keep(outbox, 1)
    store.pause(progress.id)
    clock.advance(10 * PATIENCE_SECONDS)
    store.resume(progress.id)
    assert claim_one(outbox).give_up_at == pytest.approx(clock.now + RETRY_SECONDS)


def test_nothing_of_a_cancelled_batch_is_sent(
    outbox: Outbox, other: Outbox, store: BatchStore, clock: Clock
) -> None:
    progress = keep(outbox, 4)
    held = claim_one_of(outbox)
    store.pause(progress.id)
    BatchStore(other).cancel(progress.id)
    assert counts(outbox, progress) == {State.CANCELLED: 3, State.LEASED: 1}
    outbox.record([deferred(held, clock.now, clock.now)])
    assert claimed(outbox) == set()
    assert counts(outbox, progress) == {State.CANCELLED: 4}
    assert store.get(progress.id).state is BatchState.CANCELLED
    record = outbox.get(held.id)
    assert record.recipients[0].state is State.CANCELLED
    assert describe(record)[-1].what == f"A person cancelled its batch, {progress.id}"
    assert kinds(outbox, held.id) == ["enqueued", "deferred", "cancelled"]


def claim_one_of(outbox: Outbox) -> Claim:
    (held,) = outbox.claim(COURIER, "default", 1)
    return held


def test_no_row_is_added_to_a_cancelled_batch(
    outbox: Outbox, store: BatchStore
) -> None:
    progress = keep(outbox, 1)
    store.cancel(progress.id)
    with pytest.raises(TransitionRefused, match="was cancelled after row 1"):
        keep(outbox, 1, progress)
    for change in (store.pause, store.resume):
        with pytest.raises(TransitionRefused, match="which cannot be undone"):
            change(progress.id)
    store.cancel(progress.id)


def test_a_message_of_a_stopped_batch_cannot_be_retried(
    outbox: Outbox, store: BatchStore
) -> None:
    progress = keep(outbox, 2)
    first, second = (one.id for one in outbox.list())
    store.pause(progress.id)
    with pytest.raises(TransitionRefused, match=r"its batch \w+ is paused"):
        outbox.act(MessageActions.retry, first)
    outbox.act(MessageActions.cancel, first)
    assert states_of(outbox, [first, second]) == {
        State.CANCELLED: 1,
        State.PAUSED: 1,
    }
    store.cancel(progress.id)
    with pytest.raises(TransitionRefused, match="'flask outbox send-again'"):
        outbox.act(MessageActions.retry, second)


# ------------------------------------------------------------------------- asking


def test_a_batch_record_has_counts_progress_and_failures(
    outbox: Outbox, store: BatchStore, clock: Clock
) -> None:
    progress = keep(outbox, 3)
    store.end(progress.id)
    first, second, third = outbox.claim(COURIER, "default", 3)
    clock.advance(2)
    outbox.record([sent(first, clock.now), failed(second, clock.now)])
    record = store.get(progress.id)
    assert record.state is BatchState.SENDING
    assert record.counts == {State.SENT: 1, State.FAILED: 1, State.LEASED: 1}
    assert record.finished == 2
    assert record.progress == pytest.approx(2 / 3)
    assert record.per_second(record.began_at) > 1
    outbox.record([sent(third, clock.now)])
    assert store.get(progress.id).state is BatchState.DONE
    (failure,) = store.failures(progress.id)
    assert (failure.row, failure.message_id) == (
        outbox.get(second.id).batch_row,
        second.id,
    )
    assert (failure.state, failure.reply) == (
        State.FAILED,
        "550 5.1.1 no such user",
    )


def test_failures_are_read_in_steps(
    outbox: Outbox, store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_outbox.outbox.batch_store.STEP", 2)
    progress = keep(outbox, 5)
    store.cancel(progress.id)
    rows = [one.row for one in store.failures(progress.id)]
    assert sorted(rows) == [1, 2, 3, 4, 5]


def test_the_newest_batches_come_first(store: BatchStore) -> None:
    first, second = (store.begin(name, None, None, None).id for name in ("old", "new"))
    assert [one.name for one in store.newest()] == ["new", "old"]
    assert [one.id for one in store.newest(before=second)] == [first]


def test_a_batch_is_deleted_after_its_last_message(
    outbox: Outbox, store: BatchStore, clock: Clock
) -> None:
    old = keep(outbox, 1)
    clock.advance(1)
    new = keep(outbox, 1)
    store.end(old.id)
    outbox.record([sent(one, clock.now) for one in outbox.claim(COURIER, "default", 1)])
    clock.advance(100)
    outbox.prune(50, 50)
    with pytest.raises(BatchNotFound):
        store.get(old.id)
    assert store.get(new.id).rows_stored == 1
