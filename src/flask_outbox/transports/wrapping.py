"""Transports that deliver by another one, after a change of their own to the mail."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from ..delivery import Envelope, Progress, RecipientReport, Report
from ..mime.headers import redirected
from ..recipient_guard import REDIRECT_TO, Guard
from .base import Transport

if TYPE_CHECKING:
    from ..feedback.provider import ProviderEvents
    from .suppression_list import SuppressionList


class WrappingTransport(Transport):
    """Passes everything on to ``transport``, but for `deliver`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.scheme: str = transport.scheme
        self.server_address: tuple[str, int] | None = transport.server_address

    @property
    def riders(self) -> int:
        """As many as the other transport can use."""
        return self._transport.riders

    def suppression_list(self) -> SuppressionList | None:
        """That of the other transport."""
        return self._transport.suppression_list()

    async def probe(self) -> None:
        """Probe the other transport."""
        await self._transport.probe()

    async def close(self) -> None:
        """Close the other transport."""
        await self._transport.close()


class RedirectingTransport(WrappingTransport):
    """Replaces the recipients outside those that the guard allows.

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


class NamingTransport(WrappingTransport):
    """Names each message to the provider whose SMTP server it is.

    The provider's ``events`` repeat this header with the outbox's id, which stands
    above what is signed. A message that has such a header is left as it is.
    """

    def __init__(self, transport: Transport, events: type[ProviderEvents]) -> None:
        super().__init__(transport)
        self._events = events

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Deliver the message with its name."""
        if envelope.message_id is not None:
            header = self._events.smtp_header(envelope.message_id).encode()
            if header and not _has(content, header.partition(b":")[0]):
                content = header + b"\r\n" + content
        return await self._transport.deliver(envelope, content, progress)


def _has(content: bytes, name: bytes) -> bool:
    head = b"\r\n" + content.partition(b"\r\n\r\n")[0].lower()
    return b"\r\n" + name.lower() + b":" in head
