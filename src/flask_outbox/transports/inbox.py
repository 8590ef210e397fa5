"""The dev inbox as a transport: mail stays in the outbox instead of being sent."""

from __future__ import annotations

from ..delivery import IN_INBOX, Envelope, Outcome, Progress, Report
from .base import Transport


class InboxTransport(Transport):
    """Accepts every message for every recipient, and opens no connection."""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Accept the message: the outbox, which stores it already, is the inbox."""
        return Report.same(envelope.recipients, Outcome.ACCEPTED, IN_INBOX)

    async def probe(self) -> None:
        """Return: the dev inbox never fails."""

    async def close(self) -> None:
        """Return: there is nothing to close."""
