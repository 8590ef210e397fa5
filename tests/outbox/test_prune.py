"""Pruning: content first, the record later, and nothing that is still needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import MessageNotFound, StoreError
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox import prune as pruning
from flask_outbox.outbox.prune import Pruned

from .making import COURIER, Clock, claim_one, deferred, failed, put, sent, unknown
from .meanwhile import commits_of, meanwhile

DAY = 86_400.0
KEEP_BODIES, KEEP_ROWS = 7 * DAY, 90 * DAY


def prune(outbox: Outbox) -> Pruned:
    return outbox.prune(KEEP_BODIES, KEEP_ROWS)


def finished(outbox: Outbox) -> str:
    message_id = put(outbox, metadata='{"order":7}')
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    return message_id


def test_content_is_pruned_first(outbox: Outbox, clock: Clock) -> None:
    message_id = finished(outbox)

    clock.advance(KEEP_BODIES)
    assert prune(outbox) == Pruned()
    assert outbox.content(message_id) is not None
    clock.advance(1)
    assert prune(outbox) == Pruned(bodies=1, rows=0)
    assert prune(outbox) == Pruned()

    assert outbox.content(message_id) is None
    found = outbox.get(message_id)
    assert found.state is State.SENT
    assert found.metadata is None
    assert [one.kind for one in found.events] == ["enqueued", "sent"]


def test_records_are_pruned_later_and_completely(outbox: Outbox, clock: Clock) -> None:
    message_id = finished(outbox)
    clock.advance(KEEP_ROWS + 1)

    assert prune(outbox) == Pruned(bodies=1, rows=1)

    with pytest.raises(MessageNotFound):
        outbox.get(message_id)
    assert outbox.list() == []
    with outbox.database.reading() as connection:
        for table in ("message", "content", "recipient", "event"):
            count = connection.exec_driver_sql(f"SELECT count(*) FROM outbox_{table}")
            assert count.scalar() == 0, table


def has_failed(outbox: Outbox) -> None:
    put(outbox)
    outbox.record([failed(claim_one(outbox), outbox.clock())])


def is_cancelled(outbox: Outbox) -> None:
    outbox.act(MessageActions.cancel, put(outbox))


def is_poison(outbox: Outbox) -> None:
    put(outbox)
    for _ in range(3):
        outbox.begin(claim_one(outbox))
        outbox.rescue(hold_unknown=False)


@pytest.mark.parametrize("finish", [has_failed, is_cancelled, is_poison])
def test_whatever_is_finished_is_pruned(
    outbox: Outbox, clock: Clock, finish: Callable[[Outbox], None]
) -> None:
    finish(outbox)
    clock.advance(KEEP_ROWS + 1)

    assert prune(outbox) == Pruned(bodies=1, rows=1)


def test_unfinished_messages_are_never_pruned(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    outbox.record([unknown(claim_one(outbox), clock.now)])
    put(outbox)
    outbox.record([deferred(claim_one(outbox), clock.now, clock.now + KEEP_ROWS)])
    put(outbox, due_at=clock.now + 10 * KEEP_ROWS)
    put(outbox, owner=COURIER)
    clock.advance(2 * KEEP_ROWS)

    assert prune(outbox) == Pruned()

    assert all(outbox.content(one.id) for one in outbox.list())
    assert len(outbox.list()) == 4


def test_a_resent_message_is_kept_from_its_last_end_on(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox)
    outbox.record([unknown(claim_one(outbox), clock.now, clock.now)])
    clock.advance(KEEP_ROWS + 1)
    outbox.resend_unknown()
    outbox.record([sent(claim_one(outbox), clock.now)])

    assert prune(outbox) == Pruned()


def test_a_key_is_free_again_with_its_row(outbox: Outbox, clock: Clock) -> None:
    first = put(outbox, key="order-7")
    outbox.record([sent(claim_one(outbox), clock.now)])
    clock.advance(KEEP_ROWS + 1)
    prune(outbox)

    assert put(outbox, key="order-7") != first


def test_pruning_goes_in_steps(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer for a lock than one step takes."""
    for _ in range(25):
        put(outbox)
    claims = outbox.claim(COURIER, "default", 25)
    outbox.record([sent(held, clock.now) for held in claims])
    clock.advance(KEEP_BODIES + 1)
    monkeypatch.setattr(pruning, "PRUNE_LIMIT", 10)

    with commits_of(outbox) as commits:
        steps = outbox.prune_steps(KEEP_BODIES, KEEP_ROWS)
        bodies_by_commit = [(len(commits), step.bodies) for step in steps if step]

    assert bodies_by_commit == [(1, 10), (2, 10), (3, 5)]


def test_a_message_retried_meanwhile_keeps_its_content(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    """Retry or prune, whichever is first; never a message without its content."""
    message_id = put(outbox)
    outbox.record([failed(claim_one(outbox), clock.now)])
    clock.advance(KEEP_BODIES + 1)

    with meanwhile(
        outbox, "DELETE", lambda: other.act(MessageActions.retry, message_id)
    ) as retried:
        prune(outbox)

    if retried.exception() is None:
        assert outbox.content(message_id) is not None
    else:
        assert outbox.get(message_id).state is State.FAILED


def test_two_processes_can_prune_at_the_same_time(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    for _ in range(60):
        put(outbox)
    claims = outbox.claim(COURIER, "default", 60)
    outbox.record([sent(held, clock.now) for held in claims])
    clock.advance(KEEP_ROWS + 1)

    def prune_or_say(one: Outbox) -> StoreError | None:
        try:
            prune(one)
        except StoreError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(prune_or_say, (outbox, other))) == [None, None]
    assert outbox.list() == []
