"""How much waits: exact while it is little, else counted now and then by anyone."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from flask_outbox import OutboxUnavailable
from flask_outbox.delivery import State
from flask_outbox.erased_address import ErasedAddresses
from flask_outbox.outbox import MessageActions, Outbox, PersonStore, backlog, new_id
from flask_outbox.outbox.backlog import OLD_SECONDS, OTHER_STATES, Backlog, Waiting
from flask_outbox.outbox.schema import message
from flask_outbox.outbox.transfer import rows
from flask_outbox.recipient_guard import Guard

from .making import (
    BOB,
    COURIER,
    Clock,
    claim_one,
    deferred,
    failed,
    put,
    sent,
    unknown,
)

DAY = 86_400


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three messages are a large backlog."""
    monkeypatch.setattr(backlog, "LARGE", 2)


def true_backlog(outbox: Outbox) -> Backlog:
    """Counted here, from the rows."""
    now = outbox.clock()
    states: Counter[str] = Counter()
    lanes: dict[str, Waiting] = {}
    with outbox.database.reading() as connection:
        for row in connection.execute(select(message)):
            states[row.state] += 1
            if row.state == State.PENDING:
                due, later, oldest = lanes.get(row.lane, Waiting(0, 0, None))
                if row.due_at <= now:
                    due, oldest = due + 1, min(oldest or row.due_at, row.due_at)
                else:
                    later += 1
                lanes[row.lane] = Waiting(due, later, oldest)
    waiting = {state: states[state] for state in (State.PENDING, *OTHER_STATES)}
    return Backlog(now, waiting, lanes)


def test_a_small_backlog_is_always_as_it_is(outbox: Outbox, clock: Clock) -> None:
    for number in range(3):
        put(outbox, due_at=clock.now + number)
        assert outbox.backlog() == true_backlog(outbox)


@pytest.mark.usefixtures("large")
def test_a_large_one_is_counted_once_for_all_processes(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    put(outbox, lane="bulk")
    put(outbox, due_at=clock.now + 60)
    put(outbox, due_at=clock.now - 5)
    first = true_backlog(outbox)
    assert outbox.backlog() == first

    outbox.record([sent(claim_one(outbox), clock.now)])
    put(outbox, lane="new", due_at=clock.now - 9)
    clock.advance(OLD_SECONDS - 1)

    kept = other.backlog()
    assert (kept.counted_at, kept.states) == (first.counted_at, first.states)
    assert kept.lanes == {  # the oldest are those of now
        "bulk": first.lanes["bulk"],
        "default": Waiting(1, 1, None),
        "new": Waiting(0, 0, first.counted_at - 9),
    }
    clock.advance(1)
    assert other.backlog() == true_backlog(outbox)


@pytest.mark.usefixtures("large")
def test_counts_from_the_future_are_made_anew(outbox: Outbox, clock: Clock) -> None:
    for _ in range(3):
        put(outbox)
    outbox.backlog()
    clock.advance(-OLD_SECONDS)

    assert outbox.backlog().counted_at == clock.now


@pytest.mark.usefixtures("large")
def test_who_cannot_keep_the_counts_has_them_all_the_same(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        put(outbox)

    def full(*given: object) -> None:
        raise OutboxUnavailable("The disk is full.")

    monkeypatch.setattr(backlog, "keep", full)

    assert outbox.backlog() == true_backlog(outbox)


def test_whatever_happens_to_messages_they_are_counted(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LARGE", 0)
    guard = Guard(erased=ErasedAddresses.read(["secret"]))
    outbox = Outbox(outbox.database, clock, guard=guard)

    def agrees(**states: int) -> None:
        clock.advance(OLD_SECONDS)
        found = outbox.backlog()
        assert found == true_backlog(outbox)
        assert {one: number for one, number in found.states.items() if number} == states

    scheduled = put(outbox, due_at=clock.now + DAY)
    for _ in range(4):
        put(outbox, BOB)
    agrees(pending=5)

    outbox.register(COURIER, "thread", DAY)
    held = outbox.claim(COURIER, "default", 4)
    agrees(pending=1, leased=4)
    at = clock.now
    ends = (sent(held[0], at), failed(held[1], at), unknown(held[2], at))
    outbox.record([*ends, deferred(held[3], at, at + DAY)])
    agrees(pending=2, unknown=1)

    outbox.act(MessageActions.cancel, scheduled)
    agrees(pending=1, unknown=1)
    outbox.act(MessageActions.retry, scheduled)
    outbox.act(MessageActions.release, held[2].id)
    outbox.act(MessageActions.retry, held[1].id)
    agrees(pending=4)

    outbox.claim(COURIER, "default", 1)  # and the courier is killed
    clock.advance(2 * DAY)
    agrees(pending=3, leased=1)
    outbox.rescue(hold_unknown=False)
    agrees(pending=4)

    PersonStore(outbox).erase(BOB)
    agrees(pending=1)

    put(outbox, lane="bulk")
    with outbox.database.engine.begin() as connection:
        rows.depart(connection, new_id(), 1, "elsewhere", clock.now)
    agrees(moving=2)
    (chunk,) = outbox.moves()
    with outbox.database.engine.begin() as connection:
        rows.restore_departed(connection, chunk, clock.now)
    agrees(pending=2)

    for message_id in (one.id for one in outbox.list()):
        if not outbox.get(message_id).state.final:
            outbox.act(MessageActions.cancel, message_id)
    clock.advance(DAY)
    assert outbox.prune(0, 0)
    agrees()
