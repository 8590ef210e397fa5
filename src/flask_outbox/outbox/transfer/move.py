"""Moves messages from one outbox to another, chunk by chunk, while both are in use.

Two databases cannot commit as one. So there are four steps, and each is durable before
the next begins:

1. The new outbox records that it expects the move (once, before the first chunk).
2. The old outbox marks a chunk of messages as departed: no courier can claim them.
3. The new outbox stores the messages and the number of their chunk, in one commit.
4. The old outbox deletes them.

A process that finds departed messages asks the new outbox whether their chunk has
arrived. If so, step 4 remains; if not, step 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ...delivery import State
from ...errors import MoveRefused
from .. import notify
from ..ids import new_id
from ..outbox import Outbox
from ..records import TransferChunk
from ..schema import message
from ..session import is_same_database
from . import rows
from .rows import Carried, ExportedRows


@dataclass(frozen=True, slots=True)
class Left:
    """How many messages are still in the old outbox."""

    waiting: int
    leased: int
    finished: int
    moving: int

    @property
    def messages(self) -> int:
        """The sum of all."""
        return self.waiting + self.leased + self.finished + self.moving


class Move:
    """Moves messages from ``source`` to ``target``; both must commit durably.

    Several may run at once, and any may be killed: the next one finishes its chunk.
    """

    def __init__(self, source: Outbox, target: Outbox) -> None:
        self._source = source
        self._target = target
        self._id = new_id()
        self._number = 0

    # Before

    def prepare(self) -> None:
        """Check that the move can begin; make the tables of the target if it has none.

        Raises `MoveRefused` if the target is the source, if it is being moved itself,
        or if messages are half moved to another outbox. Raises `SchemaError` and
        `OutboxUnavailable` as every use of an outbox does.
        """
        database, chunks_in_transit = self._target.database, self.chunks_in_transit()
        if database.version() is None:
            if chunks_in_transit:
                raise self._unknown(chunks_in_transit[0])
            database.upgrade()
        if is_same_database(self._source.database, database):
            raise MoveRefused(
                f"The outbox is in {database.shown} already: there is nothing to move.",
                anchor="same",
            )
        self._refuse_moving_target()
        for chunk in chunks_in_transit:
            if not self._is_known(chunk):
                raise self._unknown(chunk)

    def _refuse_moving_target(self) -> None:
        chunks = self._target.moves()
        if chunks:
            raise MoveRefused(
                f"The outbox at {self._target.database.shown} is itself being moved: "
                f"{chunks[0]}",
                anchor="target-moves",
            )

    # The move itself

    def carry(self) -> Carried | None:
        """Move one chunk: a half-moved one first, then waiting, then finished messages.

        None if there is nothing left to move.
        """
        chunk = next(iter(self.chunks_in_transit()), None) or self._depart()
        return None if chunk is None else self._finish(chunk)

    def chunks_in_transit(self) -> Sequence[TransferChunk]:
        """The chunks that have departed and are not yet deleted from the source."""
        return self._source.moves()

    def _depart(self) -> TransferChunk | None:
        if self._number == 0:
            self._announce()
        self._number += 1
        now = self._source.clock()
        heading_to = self._target.database.shown
        self._source.database.write(
            lambda conn: rows.depart(conn, self._id, self._number, heading_to, now)
        )
        return next(iter(self.chunks_in_transit()), None)

    def _announce(self) -> None:
        now = self._target.clock()
        came_from = self._source.database.shown
        self._target.database.write(
            lambda conn: rows.expect(conn, self._id, came_from, now)
        )

    def _finish(self, chunk: TransferChunk) -> Carried:
        with self._source.database.reading() as connection:
            exported = rows.export_rows(connection, chunk)
        carried = self._arrive(chunk, exported)
        self._source.database.write(lambda conn: rows.delete_departed(conn, chunk))
        return exported.carried + carried

    def _arrive(self, chunk: TransferChunk, exported: ExportedRows) -> Carried:
        now = self._target.clock()
        came_from = self._source.database.shown

        def work(connection: Connection) -> Carried:
            if rows.record_arrival(connection, chunk):
                notify.notify(connection, notify.MAIL)
                return rows.import_rows(connection, exported, came_from, now)
            if rows.is_expected(connection, chunk.move):
                return Carried()
            raise self._unknown(chunk)

        return self._target.database.write(work)

    def _unknown(self, chunk: TransferChunk) -> MoveRefused:
        return MoveRefused(
            f"{chunk} The outbox at {self._target.database.shown} has no record of "
            "that move. To keep the messages here, pass --abandon.",
            anchor="no-record",
        )

    def end(self) -> None:
        """Delete the target's record of the move, unless a chunk is still under way."""
        if self._number and all(
            one.move != self._id for one in self.chunks_in_transit()
        ):
            self._target.database.write(lambda conn: rows.forget(conn, self._id))

    # Going back

    def abandon(self) -> tuple[int, int]:
        """Settle half-moved chunks: how many messages stayed, and how many had arrived.

        A chunk that has not arrived in the target never will; its messages get back
        the state they had.
        """
        stayed = gone = 0
        self._refuse_elsewhere()
        for chunk in self.chunks_in_transit():
            if self._abandon_chunk(chunk):
                stayed += chunk.messages
            else:
                gone += chunk.messages
        return stayed, gone

    def _refuse_elsewhere(self) -> None:
        """Raise `MoveRefused` if a half-moved chunk was going to another outbox.

        The URL counts too: the right target may have been emptied since.
        """
        for chunk in self.chunks_in_transit():
            there = chunk.heading_to == self._target.database.shown
            if not (there or self._is_known(chunk)):
                raise self._unknown(chunk)

    def _is_known(self, chunk: TransferChunk) -> bool:
        with self._target.database.reading() as connection:
            return rows.is_expected(connection, chunk.move)

    def _abandon_chunk(self, chunk: TransferChunk) -> bool:
        if self._target.database.write(lambda conn: rows.refuse_arrival(conn, chunk)):
            now = self._source.clock()
            self._source.database.write(
                lambda conn: rows.restore_departed(conn, chunk, now)
            )
            return True
        self._source.database.write(lambda conn: rows.delete_departed(conn, chunk))
        return False

    # Progress

    def left(self) -> Left:
        """How many messages are still in the source."""
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
