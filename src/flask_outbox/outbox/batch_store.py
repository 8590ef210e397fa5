"""`BatchStore`: enqueues, pauses, resumes, cancels and lists batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sqlalchemy import Connection

from . import audit, batches
from .batches import CAME_BACK, MISSED, STEP, BatchProgress
from .notify import MAIL, notify
from .outbox import Outbox
from .records import Act, Actor, BatchRecord, Failure, NewMessage, Receipt

OnProgress = Callable[[Sequence[str]], object]
"""Called after each step with the ids of its messages."""


def no_progress(_ids: Sequence[str]) -> None:
    """Ignore the progress."""


def _none(_result: object) -> int:
    """How many messages were changed before the first step."""
    return 0


class BatchStore:
    """The batches of an outbox. Safe to share between threads.

    Every call that changes something returns once the change is durable, or raises one
    of our errors. Raises `BatchNotFound` for an id that no batch has.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._database = outbox.database
        self._write = outbox.database.write

    # Enqueueing

    def begin(
        self, name: str, tag: str | None, key: str | None, total: int | None
    ) -> BatchProgress:
        """A new batch, or the one that has ``key``."""
        now = self._outbox.clock()
        return self._write(lambda conn: batches.begin(conn, name, tag, key, total, now))

    def resume_hand_over(
        self, id: str, total: int | None, actor: Actor | None = None
    ) -> BatchProgress:
        """Continue enqueueing a batch in this process, unless it is complete."""
        line = self._outbox.trail.draft(actor, Act.SEND_BATCH, id)
        return self._write(
            line.beside(
                lambda conn: batches.resume_hand_over(conn, id, total),
                many=lambda found: max((total or 0) - found.rows_stored, 0),
            )
        )

    def store_rows(
        self, progress: BatchProgress, messages: Sequence[NewMessage], digest: str
    ) -> list[Receipt]:
        """Store the next messages of a batch and its progress, all or nothing.

        Raises `TransitionRefused` if the batch was cancelled, or if another process
        enqueues it too.
        """
        now = self._outbox.clock()
        return self._database.write_with_lock_retry(
            lambda conn: batches.store_rows(
                conn, progress, messages, digest, now, self._outbox.guard
            )
        )

    def end(self, id: str) -> None:
        """Record that every row of the batch is stored."""
        now = self._outbox.clock()
        self._write(lambda conn: batches.end(conn, id, now))

    def interrupt(self, id: str, error: str) -> None:
        """Record why enqueueing broke off."""
        self._write(lambda conn: batches.interrupt(conn, id, error))

    # What a person may do

    def pause(
        self,
        id: str,
        on_progress: OnProgress = no_progress,
        actor: Actor | None = None,
    ) -> None:
        """Stop the delivery of a batch, on every machine, until `resume`.

        It holds from the first commit on; messages in flight at that moment are still
        delivered. Raises `TransitionRefused` for a cancelled batch.
        """
        now = self._outbox.clock()
        line = self._outbox.trail.draft(actor, Act.PAUSE_BATCH, id)
        self._write(line.beside(lambda conn: batches.pause(conn, id, now), many=_none))
        self._in_steps(lambda conn: batches.pause_next(conn, id), on_progress, line)

    def resume(
        self,
        id: str,
        on_progress: OnProgress = no_progress,
        actor: Actor | None = None,
    ) -> None:
        """End what `pause` began; the messages' retry window starts again.

        Raises `TransitionRefused` for a cancelled batch.
        """
        now = self._outbox.clock()

        def resume_next(connection: Connection) -> list[str]:
            notify(connection, MAIL)
            return batches.resume_next(connection, id, now, seconds)

        seconds = self._outbox.retry_window.seconds_for(self.get(id).tag)
        line = self._outbox.trail.draft(actor, Act.RESUME_BATCH, id)
        self._write(line.beside(lambda conn: batches.resume(conn, id), many=_none))
        self._in_steps(resume_next, on_progress, line)

    def cancel(
        self,
        id: str,
        on_progress: OnProgress = no_progress,
        actor: Actor | None = None,
    ) -> None:
        """Cancel all unsent messages of a batch, and stop enqueueing it."""
        now = self._outbox.clock()
        line = self._outbox.trail.draft(actor, Act.CANCEL_BATCH, id)
        self._write(line.beside(lambda conn: batches.cancel(conn, id, now), many=_none))
        self._in_steps(
            lambda conn: batches.cancel_next(conn, id, now), on_progress, line
        )

    def _in_steps(
        self,
        step: Callable[[Connection], list[str]],
        on_progress: OnProgress,
        line: audit.Draft,
    ) -> None:
        """Change the batch's messages, and count them in the audit trail."""
        work = line.counting(step, many=len)
        while ids := self._write(work):
            on_progress(ids)

    # Reading

    def get(self, id: str) -> BatchRecord:
        """One batch, with counts of its messages."""
        with self._database.reading() as connection:
            found = batches.get(connection, id)
        if found is None:
            raise batches.not_found(id)
        return found

    def newest(self, limit: int = 50, before: str | None = None) -> list[BatchRecord]:
        """The newest batches that are older than the id ``before``."""
        with self._database.reading() as connection:
            return batches.newest(connection, limit, before)

    def failures(self, id: str) -> Iterator[Failure]:
        """All recipients of a batch who did not get their message, or complained of it;
        read in pages.

        Ordered by state, or by what was reported of mail that was sent, then by row.
        """
        for state in MISSED:
            yield from self._in_pages(partial(batches.failures, which=id, state=state))
        for fate in CAME_BACK:
            yield from self._in_pages(
                partial(batches.failed_later, which=id, fate=fate)
            )

    def _in_pages(
        self, page: Callable[..., list[tuple[str, Failure]]]
    ) -> Iterator[Failure]:
        after = None
        while True:
            with self._database.reading() as connection:
                some = page(connection, after=after, limit=STEP)
            yield from sorted((one for _, one in some), key=lambda one: one.row)
            if not some:
                return
            after = some[-1][0]
