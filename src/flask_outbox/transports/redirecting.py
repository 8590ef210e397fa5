"""Redirecting: all that leaves by a transport goes where the guard lets it go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..delivery import Envelope, Progress, RecipientReport, Report
from ..guard import REDIRECT_TO, Guard
from ..mime.redirected import redirected
from .base import Transport


class RedirectingTransport(Transport):
    """Delivers by another transport, with ``redirect_to`` in place of those outside.

    For each of those the report has what became of the mail to ``redirect_to``.
    """

    def __init__(self, transport: Transport, guard: Guard) -> None:
        assert guard.redirect_to is not None
        self._transport = transport
        self._guard = guard
        self._instead = guard.redirect_to

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Hand the message over, and tell in ``progress`` who does not get it."""
        away = self._guard.redirected(envelope.recipients)
        if not away:
            return await self._transport.deliver(envelope, content, progress)
        told = f"for {', '.join(away)} to {self._instead} instead ({REDIRECT_TO})"
        progress.note("us", told)
        report = await self._transport.deliver(
            self._readdressed(envelope, away), redirected(content, away), progress
        )
        return Report(
            {one: self._answer(one, away, report) for one in envelope.recipients}
        )

    async def probe(self) -> None:
        """Probe the transport itself."""
        await self._transport.probe()

    async def close(self) -> None:
        """Close the transport itself."""
        await self._transport.close()

    def _readdressed(self, envelope: Envelope, away: Collection[str]) -> Envelope:
        left = [one for one in envelope.recipients if one not in away]
        recipients = tuple(dict.fromkeys([*left, self._instead]))
        return replace(envelope, recipients=recipients)

    def _answer(
        self, recipient: str, away: Collection[str], report: Report
    ) -> RecipientReport:
        if recipient not in away:
            return report.recipients[recipient]
        found = report.recipients[self._instead]
        text = f"{found.reply.text} (for {self._instead} instead: {REDIRECT_TO})"
        return replace(found, reply=replace(found.reply, text=text.lstrip()))
