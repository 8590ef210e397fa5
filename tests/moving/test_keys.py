"""A key that was handed over to both outboxes: the target's message is the one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flask_outbox.delivery import State
from flask_outbox.history import describe
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.records import Sensitivity
from flask_outbox.outbox.transfer import Move
from tests.moving.carrying import HOUR, carry_all
from tests.outbox.making import (
    ADA,
    BOB,
    COURIER,
    KEPT,
    LATER,
    claim_one,
    ended,
    enlist,
    kinds,
    put,
    sent,
    states,
    unknown,
)

KEY = "order-1"


def test_a_waiting_duplicate_is_cancelled(
    source: Outbox, target: Outbox, move: Move
) -> None:
    here, there = put(source, key=KEY), put(target, key=KEY)
    other = put(source, key="order-2")

    carried = carry_all(move)

    assert (carried.waiting, carried.cancelled) == (2, 1)
    assert states(target, here) == {ADA: State.CANCELLED}
    record = target.get(here)
    assert (record.state, record.key) == (State.CANCELLED, None)
    assert kinds(target, here) == ["enqueued", "moved", "cancelled"]
    assert describe(record)[-1].what == (
        "Cancelled: another message with its key was enqueued here"
    )
    assert describe(record)[-1].output == there
    assert target.get(there).key == KEY
    enlist(target)
    claims = target.claim(COURIER, "default", 10)
    assert {one.id for one in claims} == {there, other}
    assert put(target, key="order-2") == other


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")])
def test_a_sensitive_message_stays_so_and_loses_its_content_with_its_key(
    source: Outbox, target: Outbox, move: Move
) -> None:
    hidden = Sensitivity.HIDDEN
    duplicate = put(source, key=KEY, sensitivity=hidden)
    waiting = put(source, sensitivity=hidden)
    put(target, key=KEY)

    carry_all(move)

    assert target.get(waiting).hidden
    assert target.content(waiting, even_hidden=True)
    assert target.get(duplicate).state is State.CANCELLED
    assert target.content(duplicate, even_hidden=True) is None


def test_recipients_who_got_it_stay_in_the_history(
    source: Outbox, target: Outbox, move: Move
) -> None:
    enlist(source)
    here = put(source, ADA, BOB, key=KEY)
    held, now = claim_one(source), source.clock()
    answers = {ADA: (State.SENT, KEPT), BOB: (State.PENDING, LATER)}
    source.record([ended(held, now, State.PENDING, answers, due_at=now + HOUR)])
    put(target, key=KEY)

    carry_all(move)

    assert states(target, here) == {ADA: State.SENT, BOB: State.CANCELLED}


def test_a_duplicate_that_would_be_resent_is_cancelled(
    source: Outbox, target: Outbox, move: Move
) -> None:
    enlist(source)
    here = put(source, key=KEY)
    now = source.clock()
    source.record([unknown(claim_one(source), now, now + HOUR)])
    put(target, key=KEY)

    assert carry_all(move).cancelled == 1
    assert target.get(here).state == State.CANCELLED


def test_a_finished_duplicate_is_moved_without_its_key(
    source: Outbox, target: Outbox, move: Move
) -> None:
    enlist(source)
    here = put(source, key=KEY)
    source.record([sent(claim_one(source), source.clock())])
    there = put(target, key=KEY)

    assert carry_all(move).cancelled == 0
    record = target.get(here)
    assert (record.state, record.key) == (State.SENT, None)
    assert target.get(there).state == State.PENDING


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids=["sqlite"])
def test_moving_a_copy_of_an_outbox_sends_nothing_twice(
    source: Outbox, target: Outbox, move: Move, tmp_path: Path
) -> None:
    """Somebody had copied the file, and moves the copy too."""
    message_id = put(source, key=KEY)
    source.database.close()
    copy = Outbox(Database(f"sqlite:///{tmp_path / 'copy.db'}"), source.clock)
    shutil.copy(tmp_path / "old" / "outbox.db", tmp_path / "copy.db")
    carry_all(move)
    enlist(target)
    target.record([sent(claim_one(target), target.clock())])

    carry_all(Move(copy, target))

    assert target.get(message_id).state == State.SENT
    assert copy.list() == []
    copy.database.close()
