"""Delivery: one message that is to leave, and the answer that somebody waits for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from ..delivery import (
    Envelope,
    Outcome,
    Progress,
    RecipientReport,
    Reply,
    Report,
)
from ..errors import LeaseLost, TransportDown
from .smtp_content import with_crlf


class Carrier(Protocol):
    """A connection that has begun to hand a message over."""

    def abandon(self, delivery: Delivery) -> None:
        """Nobody waits for this delivery any more."""


class Delivery:
    """One message on its way out, on whichever connection takes it.

    Guarantees: it is answered once. ``again`` is no answer: the message was not begun
    where it was tried, so that another connection is worth a try. Where a server takes
    only so many recipients at a time, the others have transactions of their own at
    once, and the answer is for all.
    """

    def __init__(self, envelope: Envelope, content: bytes, progress: Progress) -> None:
        self.envelope = envelope
        """For whom the next transaction is."""
        self.content = with_crlf(content)
        self.progress = progress
        self.carrier: Carrier | None = None
        """What it was begun on."""
        self.tries = 0
        self.wants_fresh = False
        """Whether only a connection that has not served may be tried next."""
        self._times_put_back = 0
        self._everyone = tuple(dict.fromkeys(envelope.recipients))
        self._made: dict[str, RecipientReport] = {}
        """Who has an answer from a transaction before."""
        self._at_a_time = len(self._everyone)
        self._answer: asyncio.Future[Report | None]

    def begin(self) -> None:
        """Be ready for an answer, the first one or another after ``again``."""
        self.tries += 1
        self.carrier = None
        self._answer = asyncio.get_running_loop().create_future()

    async def answered(self) -> Report | None:
        """Wait for the report, or for None: it is to be tried again.

        Raises what `fail` was told.
        """
        return await self._answer

    def answer(self, report: Report) -> None:
        """This became of those whom it names; others are for another transaction."""
        if self._answer.done():
            return
        self._made.update(report.recipients)
        self._times_put_back = 0
        if self._left:
            self._choose()
            self.again()
        else:
            made = {one: self._made[one] for one in self._everyone}
            self._answer.set_result(Report(made))

    def take_fewer(self, recipients: int) -> None:
        """The server takes no more than so many recipients in one transaction."""
        self._at_a_time = max(1, recipients)
        self._choose()

    def _choose(self) -> None:
        chosen = self._left[: self._at_a_time]
        self.envelope = replace(self.envelope, recipients=chosen)

    @property
    def _left(self) -> tuple[str, ...]:
        return tuple(one for one in self._everyone if one not in self._made)

    def again(self, why: str = "", *, fresh: bool = False) -> None:
        """It was not begun: another connection is worth a try, and a ``fresh`` one only
        where it may be that this one had served too much, or it was tried twice.
        """
        if not self._answer.done():
            if why:
                self.progress.note("them", f"({why})")
                self._times_put_back += 1
                self.wants_fresh = fresh or self._times_put_back > 1
            self.progress.final_dot_sent = self._someone_may_have_it
            self._answer.set_result(None)

    def fail(self, error: TransportDown | LeaseLost | ValueError) -> None:
        """Because of this nobody was decided, but in a transaction before."""
        if self._made:
            deferred = Outcome.DEFERRED, Reply.observed(str(error))
            self.answer(Report.same(self._left, *deferred))
        elif not self._answer.done():
            self._answer.set_exception(error)

    @property
    def _someone_may_have_it(self) -> bool:
        kept = (Outcome.ACCEPTED, Outcome.UNKNOWN)
        return any(one.outcome in kept for one in self._made.values())
