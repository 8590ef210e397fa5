"""A transport that delivers by another one, after a change of its own."""

from __future__ import annotations

from .base import Transport
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
