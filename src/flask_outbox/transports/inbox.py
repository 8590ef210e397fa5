"""The dev inbox as a transport: mail that is kept here instead of leaving."""

from __future__ import annotations

from ..delivery import KEPT_HERE, Envelope, Outcome, Progress, Report
from .base import Transport


class InboxTransport(Transport):
    """Accepts every message for every recipient, and opens no connection."""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Accept the message: the outbox, which has it already, is the inbox."""
        return Report.same(envelope.recipients, Outcome.ACCEPTED, KEPT_HERE)

    async def probe(self) -> None:
        """Return: the dev inbox is never in trouble."""

    async def close(self) -> None:
        """Return: there is nothing to end."""
