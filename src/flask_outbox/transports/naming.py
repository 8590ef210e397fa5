"""Names the message to a provider whose SMTP server it is, so that its events do so."""

from __future__ import annotations

from ..delivery import Envelope, Progress, Report
from ..feedback.provider import ProviderEvents
from .base import Transport
from .wrapping import WrappingTransport


class NamingTransport(WrappingTransport):
    """Adds the header with the outbox's id of a message that ``events`` repeat.

    It stands above what is signed. A message that has such a header is left as it is.
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
