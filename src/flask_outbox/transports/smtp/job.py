"""`Delivery`: one message to deliver, and the report that its caller waits for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from ...delivery import Envelope, Outcome, Progress, RecipientReport, Reply, Report
from ...errors import LeaseLost, TransportDown
from .capabilities import with_crlf


class Carrier(Protocol):
    """A connection that has begun to send a message."""

    def abandon(self, delivery: Delivery) -> None:
        """Stop this delivery if possible: its caller no longer waits for it."""


class Delivery:
    """One message to deliver, on any connection.

    Guarantees that it is answered once, for all recipients. `again` is no answer: the
    server has not begun the message on that connection, so another one is tried. If a
    server takes only some recipients at a time, the others follow at once in further
    transactions.
    """

    def __init__(self, envelope: Envelope, content: bytes, progress: Progress) -> None:
        self.envelope: Envelope = envelope
        """The envelope of the next transaction."""
        self.content: bytes = with_crlf(content)
        self.progress = progress
        self.carrier: Carrier | None = None
        """The connection it was begun on."""
        self.tries: int = 0
        self.wants_fresh: bool = False
        """Whether the next try must be on a connection that carried no message yet."""
        self._times_put_back = 0
        self._everyone = tuple(dict.fromkeys(envelope.recipients))
        self._made: dict[str, RecipientReport] = {}
        """The reports of recipients from earlier transactions."""
        self._at_a_time = len(self._everyone)
        self._answer: asyncio.Future[Report | None]

    def begin(self) -> asyncio.Future[Report | None]:
        """Start a try: the first, or another after `again`.

        Returns the report to wait for, which is None if the message has to be tried
        again, or the error that `fail` was given.
        """
        self.tries += 1
        self.carrier = None
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def answer(self, report: Report) -> None:
        """Record these recipients' outcomes; the others need another transaction."""
        if self._answer.done():
            return
        self._made.update(report.recipients)
        self._times_put_back = 0
        if len(self._made) < len(self._everyone):
            self._choose()
            self.again()
        else:
            made = {one: self._made[one] for one in self._everyone}
            self._answer.set_result(Report(made))

    def take_fewer(self, recipients: int) -> None:
        """Limit the recipients of further transactions, as the server demands."""
        self._at_a_time = max(1, recipients)
        self._choose()

    def _choose(self) -> None:
        chosen = self._left[: self._at_a_time]
        self.envelope = replace(self.envelope, recipients=chosen)

    @property
    def _left(self) -> tuple[str, ...]:
        return tuple(one for one in self._everyone if one not in self._made)

    def again(self, why: str = "", *, fresh: bool = False) -> None:
        """Have the message tried again, as the server has not begun it.

        A ``fresh`` connection is used if this one may have carried too much, or if two
        tries in a row failed.
        """
        if not self._answer.done():
            if why:
                self.progress.note("them", f"({why})")
                self._times_put_back += 1
                self.wants_fresh = fresh or self._times_put_back > 1
            self.progress.final_dot_sent = self._may_have_arrived
            self._answer.set_result(None)

    def fail(self, error: TransportDown | LeaseLost | ValueError) -> None:
        """End with this error; after an earlier transaction, defer the rest instead."""
        if self._made:
            deferred = Outcome.DEFERRED, Reply.observed(str(error))
            self.answer(Report.same(self._left, *deferred))
        elif not self._answer.done():
            self._answer.set_exception(error)

    @property
    def _may_have_arrived(self) -> bool:
        kept = (Outcome.ACCEPTED, Outcome.UNKNOWN)
        return any(one.outcome in kept for one in self._made.values())
