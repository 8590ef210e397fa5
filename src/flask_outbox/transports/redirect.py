"""Redirects mail for recipients outside the guard's allowed ones to one address."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..delivery import Envelope, Progress, RecipientReport, Report
from ..mime.headers import redirected
from ..recipient_guard import REDIRECT_TO, Guard
from .base import Transport
from .wrapping import WrappingTransport


class RedirectingTransport(WrappingTransport):
    """Delivers by another transport, with redirected recipients replaced.

    ``guard.redirect_to`` gets the mail in their place. The report gives each of them
    the outcome for that address.
    """

    def __init__(self, transport: Transport, guard: Guard) -> None:
        assert guard.redirect_to is not None
        super().__init__(transport)
        self._guard = guard
        self._instead = guard.redirect_to

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Deliver the message, and note in ``progress`` who is redirected."""
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
