"""Lane: a transport with its circuit. May it be used now, and if not, why not?"""

from __future__ import annotations

import asyncio

from .backoff import backoff
from .errors import TransportDown
from .transports.base import Transport

FIRST_PAUSE_SECONDS = 1.0
"""The longest first pause: a server that restarts is back about as soon."""


class Lane:
    """One transport under its name, paused while the transport is in trouble."""

    def __init__(
        self, name: str, transport: Transport, pause_cap_seconds: float
    ) -> None:
        self.name = name
        self.transport = transport
        self.reason: str | None = None
        """Why the lane is paused; None while it is open."""
        self.went_down = asyncio.Event()
        self._pause_cap_seconds = pause_cap_seconds
        self._failures = 0

    @property
    def open(self) -> bool:
        """Whether the lane may be used now."""
        return self.reason is None

    def pause(self, error: TransportDown) -> None:
        """Close the lane because its transport is in trouble."""
        if self.open:
            self._failures = 1
            self.went_down.set()
        self.reason = str(error)

    def wait_seconds(self) -> float:
        """How long to wait before the next probe.

        Grows with each failure in a row up to the cap; never less than half of where it
        stands, so that a dead server is not hammered.
        """
        half = FIRST_PAUSE_SECONDS * 2.0 ** (min(self._failures, 32) - 2)
        half = min(half, self._pause_cap_seconds / 2)
        return half + backoff(1, base_seconds=half, cap_seconds=half)

    async def probe(self) -> bool:
        """Ask the transport whether it is back, and open the lane if it is."""
        try:
            await self.transport.probe()
        except TransportDown as error:
            self._failures += 1
            self.reason = str(error)
            return False
        self.reason = None
        self.went_down.clear()
        return True
