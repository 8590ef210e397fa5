"""The contract of a transport: deliver one message, answer for each recipient."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..delivery import Envelope, Progress, Report


class Transport(ABC):
    """How mail leaves. One instance serves one courier, inside its event loop.

    Nothing is opened before the first `deliver` or `probe`. Concurrent calls are
    allowed; an adapter holds its own connections and their limit.
    """

    @abstractmethod
    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Hand one message to the next hop and answer for **each** recipient.

        A reply that concerns the message or one recipient is an outcome in the report,
        never an exception, and so is a link that breaks in the middle: before the final
        dot *deferred*, after it *unknown*. ``progress`` is kept up to date while the
        dialogue runs, so that a cancelled call still tells how far it came.

        Raises `TransportDown` when the transport itself is in trouble (refused, DNS,
        TLS, rejected credentials, 421) and the message was not decided for anyone.
        """

    @abstractmethod
    async def probe(self) -> None:
        """Return if the transport would take mail now, else raise `TransportDown`."""

    @abstractmethod
    async def close(self) -> None:
        """End all connections; politely where that is quick."""
