"""Messages that are half moved: who finishes it, who may not, and who calls it off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from flask_outbox.delivery import State
from flask_outbox.errors import MoveRefused, TransitionRefused
from flask_outbox.history import describe
from flask_outbox.outbox import Database, MessageActions, Outbox
from flask_outbox.outbox.records import TransferChunk
from flask_outbox.outbox.transfer import Move, rows
from tests.moving.carrying import carry_all, fill, ids_in
from tests.outbox.making import COURIER, Clock, enlist, kinds, put, sent

NOT_ARRIVED = (rows, "import_rows")
ARRIVED = (rows, "delete_departed")
"""What a move that breaks off did not come to."""


class Broken(Exception):
    """The end of a move in the middle of it."""


@pytest.fixture
def broken_before(source: Outbox, target: Outbox) -> Callable[..., None]:
    """Has a first move end just before a step."""

    def break_before(step: tuple[object, str]) -> None:
        def end(*_: object) -> None:
            raise Broken

        first = Move(source, target)
        first.prepare()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*step, end)
            with pytest.raises(Broken):
                first.carry()

    return break_before


@contextmanager
def in_the_middle(call: Callable[[], object]) -> Iterator[None]:
    """Have a move interrupted by ``call`` after its messages were read."""
    pack = rows.export_rows

    def pack_and_call(
        connection: Connection, batch: TransferChunk
    ) -> rows.ExportedRows:
        parcel = pack(connection, batch)
        patch.undo()
        call()
        return parcel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "export_rows", pack_and_call)
        yield


def states_in(outbox: Outbox) -> set[State]:
    return {one.state for one in outbox.list()}


def test_a_message_stays_moving_here_until_it_has_arrived_there(
    source: Outbox, target: Outbox, broken_before: Callable[..., None]
) -> None:
    put(source)
    broken_before(NOT_ARRIVED)
    assert (states_in(source), states_in(target)) == ({State.MOVING}, set())
    broken_before(ARRIVED)
    assert (states_in(source), states_in(target)) == ({State.MOVING}, {State.PENDING})


@pytest.mark.parametrize("step", [NOT_ARRIVED, ARRIVED], ids=["departed", "arrived"])
def test_a_half_moved_message_is_not_touched(
    step: tuple[object, str],
    source: Outbox,
    broken_before: Callable[..., None],
    clock: Clock,
) -> None:
    message_id = put(source)
    broken_before(step)

    enlist(source)
    clock.advance(1e7)
    assert source.claim(COURIER, "default", 10) == []
    assert source.rescue(hold_unknown=False) == []
    assert source.resend_unknown() == []
    assert not source.prune(1.0, 1.0)
    assert not source.anything_due()
    for action in (MessageActions.cancel, MessageActions.retry):
        with pytest.raises(TransitionRefused, match="being moved to another outbox"):
            source.act(action, message_id)
    assert source.get(message_id).state == State.MOVING


@pytest.mark.parametrize("step", [NOT_ARRIVED, ARRIVED], ids=["departed", "arrived"])
def test_the_next_move_finishes_it(
    step: tuple[object, str],
    source: Outbox,
    target: Outbox,
    broken_before: Callable[..., None],
) -> None:
    everything = set(fill(source).values())
    broken_before(step)
    (batch,) = source.moves()
    assert batch.heading_to == target.database.shown

    carried = carry_all(Move(source, target))

    assert carried.messages == len(everything)
    assert ids_in(target) == everything
    assert all(kinds(target, one).count("moved") == 1 for one in everything)
    assert ids_in(source) == set()
    assert source.moves() == []


def test_the_move_finishes_even_if_the_message_was_pruned_there(
    source: Outbox,
    target: Outbox,
    broken_before: Callable[..., None],
    clock: Clock,
) -> None:
    """It was delivered, pruned and forgotten before the move is taken up again."""
    put(source)
    broken_before(ARRIVED)
    enlist(target)
    (held,) = target.claim(COURIER, "default", 10)
    target.record([sent(held, clock.now)])
    clock.advance(100.0)
    target.prune(1.0, 1.0)

    carry_all(Move(source, target))

    assert ids_in(source) == ids_in(target) == set()


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids=["sqlite"])
class TestSomewhereElse:
    """Two outboxes must not both believe that they have it."""

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Database:
        return Database(f"sqlite:///{tmp_path / 'elsewhere.db'}")

    @pytest.mark.parametrize("step", [NOT_ARRIVED, ARRIVED], ids=["gone", "arrived"])
    def test_a_move_to_another_target_is_refused(
        self,
        step: tuple[object, str],
        source: Outbox,
        target: Outbox,
        elsewhere: Database,
        broken_before: Callable[..., None],
    ) -> None:
        put(source)
        broken_before(step)
        other = Move(source, Outbox(elsewhere))
        for refused in (other.prepare, other.carry, other.abandon):
            with pytest.raises(MoveRefused) as error:
                refused()
            there = target.database.shown
            assert str(error.value).startswith(
                f"1 message is half moved to {there}: run 'flask outbox move --to "
                f"{there}' again."
            )
        assert states_in(source) == {State.MOVING}
        elsewhere.close()

    def test_a_move_to_an_outbox_that_is_being_moved_is_refused(
        self,
        source: Outbox,
        target: Outbox,
        elsewhere: Database,
        broken_before: Callable[..., None],
    ) -> None:
        put(source)
        broken_before(ARRIVED)
        with pytest.raises(MoveRefused, match="is itself being moved: 1 message is"):
            Move(Outbox(elsewhere), source).prepare()
        with pytest.raises(MoveRefused, match="in the opposite direction"):
            carry_all(Move(target, source))
        assert states_in(target) == {State.MOVING}
        elsewhere.close()

    def test_an_outbox_is_not_moved_to_itself(
        self, source: Outbox, target: Outbox, tmp_path: Path
    ) -> None:
        (tmp_path / "link.db").symlink_to(tmp_path / "old" / "outbox.db")
        same = Outbox(Database(f"sqlite:///{tmp_path / 'link.db'}"))
        with pytest.raises(MoveRefused, match=r"is in .*link.db already"):
            Move(source, same).prepare()
        same.database.close()


class TestAbandoning:
    """What has not arrived stays, and what has is there only."""

    def test_messages_that_have_not_arrived_stay(
        self, source: Outbox, target: Outbox, broken_before: Callable[..., None]
    ) -> None:
        put(source)
        before = {one.id: one.state for one in source.list()}
        broken_before(NOT_ARRIVED)

        assert Move(source, target).abandon() == (1, 0)

        assert {one.id: one.state for one in source.list()} == before
        (message_id,) = before
        last = describe(source.get(message_id))[-1]
        assert last.what == (
            f"Its move to {target.database.shown} was abandoned: it stayed here"
        )
        assert carry_all(Move(source, target)).waiting == 1

    def test_messages_that_have_arrived_are_gone(
        self, source: Outbox, target: Outbox, broken_before: Callable[..., None]
    ) -> None:
        put(source)
        broken_before(ARRIVED)

        assert Move(source, target).abandon() == (0, 1)

        assert states_in(source) == set()
        assert states_in(target) == {State.PENDING}

    def test_abandoning_restores_every_state(
        self, source: Outbox, target: Outbox, broken_before: Callable[..., None]
    ) -> None:
        fill(source)
        for one in source.list(State.PENDING):
            source.act(MessageActions.cancel, one.id)
        before = {one.id: one.state for one in source.list()}
        broken_before(NOT_ARRIVED)
        assert states_in(source) == {State.MOVING}

        Move(source, target).abandon()

        assert {one.id: one.state for one in source.list()} == before

    def test_abandoning_stops_a_move_that_is_still_running(
        self, source: Outbox, target: Outbox
    ) -> None:
        """The move that is abandoned is not dead, only slow."""
        put(source)
        slow = Move(source, target)
        slow.prepare()

        with (
            in_the_middle(Move(source, target).abandon),
            pytest.raises(MoveRefused, match="has no record of that move"),
        ):
            slow.carry()

        assert states_in(source) == {State.PENDING}
        assert states_in(target) == set()


def test_two_moves_at_once_move_each_message_once(
    source: Outbox, target: Outbox
) -> None:
    """Each finishes what the other has begun, and nothing arrives twice."""
    message_id = put(source)
    slow = Move(source, target)
    slow.prepare()

    with in_the_middle(lambda: carry_all(Move(source, target))):
        carry_all(slow)

    assert ids_in(target) == {message_id}
    assert kinds(target, message_id) == ["enqueued", "moved"]
    assert ids_in(source) == set()
