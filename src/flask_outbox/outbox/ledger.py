"""The ledger: the batches of one outbox, whatever the process that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from ..patience import Patience
from . import batches, conflicts
from .batch_records import BatchRecord, Failure
from .batches import MISSED, STEP, Standing
from .doorbell import MAIL, ring
from .records import NewMessage, Receipt
from .store import Outbox

T = TypeVar("T")

Told = Callable[[Sequence[str]], object]
"""Called after each step with the ids of the messages that it was about."""


class Ledger:
    """The batches of an outbox. Safe to share between threads.

    Every call that changes something returns once the change is durable, or raises one
    of our errors. Raises `BatchNotFound` for an id that no batch has.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def _write(self, work: Callable[[Connection], T]) -> T:
        return conflicts.write(self._outbox.database, work)

    def _write_patiently(self, work: Callable[[Connection], T]) -> T:
        """Run what may attach what another's open transaction has attached, too."""
        return conflicts.write_patiently(self._outbox.database, work)

    # Handing over

    def begin(
        self, name: str, tag: str | None, key: str | None, total: int | None
    ) -> Standing:
        """A new batch, or the one that has ``key``."""
        now = self._outbox.clock()
        return self._write(lambda conn: batches.begin(conn, name, tag, key, total, now))

    def go_on(self, id: str, total: int | None) -> Standing:
        """The batch ``id``, whose hand-over goes on here, unless it has ended."""
        return self._write(lambda conn: batches.go_on(conn, id, total))

    def keep(
        self, standing: Standing, messages: Sequence[NewMessage], digest: str
    ) -> list[Receipt]:
        """Keep the next messages of a batch, all or none, and that they are kept.

        Raises `TransitionRefused` where it was cancelled, or somebody else hands over
        the same batch.
        """
        now = self._outbox.clock()
        return self._write_patiently(
            lambda conn: batches.keep(
                conn, standing, messages, digest, now, self._outbox.guard
            )
        )

    def end(self, id: str) -> None:
        """Write down that every row is kept."""
        now = self._outbox.clock()
        self._write(lambda conn: batches.end(conn, id, now))

    def interrupt(self, id: str, error: str) -> None:
        """Write down why the hand-over broke off."""
        self._write(lambda conn: batches.interrupt(conn, id, error))

    # What a person may do

    def pause(self, id: str, told: Told = lambda ids: None) -> None:
        """Let nothing of a batch leave, on any machine, until `resume`.

        That holds once the first commit is made; what a courier has in hand at that
        moment is finished. Raises `TransitionRefused` for a cancelled one.
        """
        now = self._outbox.clock()
        self._write(lambda conn: batches.pause(conn, id, now))
        self._in_steps(lambda conn: batches.set_aside(conn, id), told)

    def resume(
        self, id: str, patience: Patience, told: Told = lambda ids: None
    ) -> None:
        """End what `pause` began; the messages' ``patience`` begins anew.

        Raises `TransitionRefused` for a cancelled one.
        """
        now = self._outbox.clock()

        def put_back(connection: Connection) -> list[str]:
            ring(connection, MAIL)
            return batches.put_back(connection, id, now, seconds)

        seconds = patience.seconds_for(self.get(id).tag)
        self._write(lambda conn: batches.resume(conn, id))
        self._in_steps(put_back, told)

    def cancel(self, id: str, told: Told = lambda ids: None) -> None:
        """Cancel all of a batch that has not left; a hand-over under way ends."""
        now = self._outbox.clock()
        self._write(lambda conn: batches.cancel(conn, id, now))
        self._in_steps(lambda conn: batches.call_off(conn, id, now), told)

    def _in_steps(self, step: Callable[[Connection], list[str]], told: Told) -> None:
        while ids := self._write(step):
            told(ids)

    # Asking

    def get(self, id: str) -> BatchRecord:
        """One batch, its messages counted."""
        with self._outbox.database.reading() as connection:
            found = batches.get(connection, id)
        if found is None:
            raise batches.not_found(id)
        return found

    def newest(self, limit: int = 50, before: str | None = None) -> list[BatchRecord]:
        """The newest batches first, older than the id ``before``."""
        with self._outbox.database.reading() as connection:
            return batches.newest(connection, limit, before)

    def failures(self, id: str) -> Iterator[Failure]:
        """Everyone who did not get a batch's message, read some at a time.

        By state, and in each in the order in which they were handed over.
        """
        for state in MISSED:
            after = None
            while True:
                with self._outbox.database.reading() as connection:
                    some = batches.failures(connection, id, state, after, STEP)
                yield from sorted((one for _, one in some), key=lambda one: one.row)
                if not some:
                    break
                after = some[-1][0]
