"""Delivery: one message that is to leave, and the answer that somebody waits for."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..delivery import Envelope, Progress, Report
from ..errors import TransportDown
from .smtp_content import with_crlf


class Carrier(Protocol):
    """A connection that has begun to hand a message over."""

    def abandon(self, delivery: Delivery) -> None:
        """Nobody waits for this delivery any more."""


class Delivery:
    """One message on its way out, on whichever connection takes it.

    Guarantees: it is answered once. ``again`` is no answer: the message was not begun
    where it was tried, so that another connection is worth a try.
    """

    def __init__(self, envelope: Envelope, content: bytes, progress: Progress) -> None:
        self.envelope = envelope
        self.content = with_crlf(content)
        self.progress = progress
        self.carrier: Carrier | None = None
        """What it was begun on."""
        self.tries = 0
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
        """This became of it."""
        if not self._answer.done():
            self._answer.set_result(report)

    def again(self, why: str = "") -> None:
        """It was not begun: another connection is worth a try."""
        if not self._answer.done():
            if why:
                self.progress.note("them", f"({why})")
            self.progress.final_dot_sent = False
            self._answer.set_result(None)

    def fail(self, error: TransportDown | ValueError) -> None:
        """Nobody was decided, because of this."""
        if not self._answer.done():
            self._answer.set_exception(error)
