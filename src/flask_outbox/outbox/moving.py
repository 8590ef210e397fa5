"""Moving house: an outbox is carried into another while both are in use.

Two databases cannot commit as one, so each batch takes four steps, each of which is
durable before the next begins:

1. The new outbox expects the move (once, before the first batch).
2. In the old one the messages depart: nobody can claim them any more.
3. In the new one they arrive, and with them the number of their batch, in one commit.
4. In the old one they are deleted.

Whoever finds messages that have departed asks the new outbox for that number. Has it
arrived, step 4 is what is left to do; else it is step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, func, select

from ..delivery import State
from ..errors import MoveRefused
from . import arrivals, carrying, conflicts, departures, doorbell
from .carrying import Carried, Parcel
from .ids import new_id
from .places import same_place
from .records import Batch
from .schema import message
from .store import Outbox

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Left:
    """How many messages are still in the old outbox."""

    waiting: int
    leased: int
    finished: int
    moving: int

    @property
    def messages(self) -> int:
        """All of them."""
        return self.waiting + self.leased + self.finished + self.moving


class Move:
    """Carries messages from ``source`` to ``target``; both must be written durably.

    Several may do so at once, and any may be killed: the next finishes what it began.
    """

    def __init__(self, source: Outbox, target: Outbox) -> None:
        self._source = source
        self._target = target
        self._id = new_id()
        self._number = 0

    # Before

    def prepare(self) -> None:
        """Make the tables of the target, where it has none, and see that it will do.

        Raises `MoveRefused` where it is the source itself, is being moved too, or where
        messages are half moved to somewhere else; `SchemaError` and `OutboxUnavailable`
        as always.
        """
        database, under_way = self._target.database, self.under_way()
        if database.version() is None:
            if under_way:
                raise self._unknown(under_way[0])
            database.upgrade()
        if same_place(self._source.database, database):
            raise MoveRefused(
                f"The outbox is in {database.shown} already: there is nothing to move."
            )
        self._refuse_one_that_moves()
        for batch in under_way:
            if not self._is_known(batch):
                raise self._unknown(batch)

    def _refuse_one_that_moves(self) -> None:
        batches = self._target.moves()
        if batches:
            raise MoveRefused(
                f"The outbox at {self._target.database.shown} is being moved itself: "
                f"{batches[0]}"
            )

    # The move itself

    def carry(self) -> Carried | None:
        """Carry one batch: what was left half moved, else what waits, else the history.

        None where there is none of it.
        """
        batch = next(iter(self.under_way()), None) or self._depart()
        return None if batch is None else self._finish(batch)

    def under_way(self) -> Sequence[Batch]:
        """The batches that have departed and are not known to have arrived."""
        return self._source.moves()

    def _depart(self) -> Batch | None:
        if self._number == 0:
            self._announce()
        self._number += 1
        now = self._source.clock()
        heading_to = self._target.database.shown
        self._in_source(
            lambda conn: departures.depart(
                conn, self._id, self._number, heading_to, now
            )
        )
        return next(iter(self.under_way()), None)

    def _announce(self) -> None:
        now = self._target.clock()
        came_from = self._source.database.shown
        self._in_target(lambda conn: arrivals.expect(conn, self._id, came_from, now))

    def _finish(self, batch: Batch) -> Carried:
        with self._source.database.reading() as connection:
            parcel = carrying.pack(connection, batch)
        carried = self._arrive(batch, parcel)
        self._in_source(lambda conn: departures.let_go(conn, batch))
        return parcel.carried + carried

    def _arrive(self, batch: Batch, parcel: Parcel) -> Carried:
        now = self._target.clock()
        came_from = self._source.database.shown

        def work(connection: Connection) -> Carried:
            if arrivals.take_in(connection, batch):
                doorbell.ring(connection, doorbell.MAIL)
                return carrying.unpack(connection, parcel, came_from, now)
            if arrivals.knows(connection, batch.move):
                return Carried()
            raise self._unknown(batch)

        return self._in_target(work)

    def _unknown(self, batch: Batch) -> MoveRefused:
        return MoveRefused(
            f"{batch} With --abandon they stay here. The outbox at "
            f"{self._target.database.shown} knows nothing of that move."
        )

    def end(self) -> None:
        """Leave nothing behind in the target but the messages."""
        if self._number and all(one.move != self._id for one in self.under_way()):
            self._in_target(lambda conn: arrivals.forget(conn, self._id))

    # Going back

    def abandon(self) -> tuple[int, int]:
        """End what was left half moved: how many messages stay, and how many had gone.

        What has not arrived in the target never will, and is what it was before.
        """
        stayed = gone = 0
        self._refuse_elsewhere()
        for batch in self.under_way():
            if self._call_off(batch):
                stayed += batch.messages
            else:
                gone += batch.messages
        return stayed, gone

    def _refuse_elsewhere(self) -> None:
        """Raise `MoveRefused` unless this target is where it was going.

        One that has never heard of it may have been emptied since.
        """
        for batch in self.under_way():
            there = batch.heading_to == self._target.database.shown
            if not (there or self._is_known(batch)):
                raise self._unknown(batch)

    def _is_known(self, batch: Batch) -> bool:
        with self._target.database.reading() as connection:
            return arrivals.knows(connection, batch.move)

    def _call_off(self, batch: Batch) -> bool:
        if self._in_target(lambda conn: arrivals.call_off(conn, batch)):
            now = self._source.clock()
            self._in_source(lambda conn: departures.take_back(conn, batch, now))
            return True
        self._in_source(lambda conn: departures.let_go(conn, batch))
        return False

    # Asking

    def left(self) -> Left:
        """What is still in the source."""
        with self._source.database.reading() as connection:
            counts: dict[str, int] = dict(
                connection.execute(
                    select(message.c.state, func.count()).group_by(message.c.state)
                ).all()
            )
        waiting, paused, leased, moving = (
            counts.pop(state, 0)
            for state in (State.PENDING, State.PAUSED, State.LEASED, State.MOVING)
        )
        return Left(waiting + paused, leased, sum(counts.values()), moving)

    def _in_source(self, work: Callable[[Connection], T]) -> T:
        return conflicts.write(self._source.database, work)

    def _in_target(self, work: Callable[[Connection], T]) -> T:
        return conflicts.write(self._target.database, work)
