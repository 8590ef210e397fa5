"""Lane: a transport with its limits and circuit. May it be used now, and why not?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from .backoff import backoff
from .errors import LoginDemanded, LoginRejected, TransportDown
from .rate import Limit
from .transports.base import Transport

FIRST_PAUSE_SECONDS = 1.0
"""The longest first pause: a server that restarts is back about as soon."""

LOGIN_PATIENCE = 60
"""So many times as long are the pauses after a rejected login, the longest one too:
many servers lock a client out after five in ten minutes."""

PAUSES_BY_ONE = 3
"""A message that is in the way of its transport so many times in a row, while probes
find nothing wrong, is taken for the trouble itself."""


class Lane:
    """One transport under its name: paused while it is in trouble, or held by a person.

    ``limits`` bound how many messages may go by it in a time.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        pause_cap_seconds: float,
        limits: tuple[Limit, ...] = (),
    ) -> None:
        self.name = name
        self.transport = transport
        self.limits = limits
        self.allowed_at = 0.0
        """When its limits allow another message, by `time.monotonic`."""
        self.reason: str | None = None
        """What trouble its transport is in; None when in none."""
        self.held: str | None = None
        """Why a person paused it; None when nobody did."""
        self.went_down = asyncio.Event()
        self._pause_cap_seconds = pause_cap_seconds
        self._failures = 0
        self._patience = 1
        self._in_the_way: dict[str, int] = {}
        self._in_the_way_before: dict[str, int] = {}

    @property
    def open(self) -> bool:
        """Whether the lane may be used now."""
        return self.reason is None and self.held is None

    @property
    def why_paused(self) -> str:
        """Why it may not be used, in words."""
        return f"lane {self.name} is paused: {self.held or self.reason}"

    def pause(self, error: TransportDown, message_id: str = "") -> None:
        """Close the lane: its transport is in trouble, met by ``message_id``.

        A login that is demanded again, before any mail got through, is the failure of
        the probe between.
        """
        nobodys_doing = isinstance(error, LoginDemanded)
        if self.reason is None:
            self._failures = self._failures + 1 if nobodys_doing else 1
            self._in_the_way_before = self._in_the_way
            self._in_the_way = {}
            self.went_down.set()
        if not nobodys_doing:
            times = self._in_the_way_before.get(message_id, 0)
            self._in_the_way[message_id] = times + 1
        self._take_down(error)

    def _take_down(self, error: TransportDown) -> None:
        self.reason = str(error)
        self._patience = LOGIN_PATIENCE if isinstance(error, LoginRejected) else 1

    def served(self) -> None:
        """Take note that a message was tried, whatever became of it."""
        if self.reason is None:
            self._failures = 0

    def is_its_doing(self, message_id: str, error: TransportDown | None = None) -> bool:
        """Whether trouble that this message meets now must be its own doing.

        It is when the message was in the way at each of the last pauses, and a probe
        found nothing wrong after each. A demand for a login never is.
        """
        if isinstance(error, LoginDemanded):
            return False
        pauses = self._in_the_way.get(message_id, 0)
        return self.reason is None and pauses >= PAUSES_BY_ONE - 1

    def wait_seconds(self) -> float:
        """How long to wait before the next probe.

        Grows with each failure in a row up to the cap; never less than half of where it
        stands, so that a dead server is not hammered, and much longer after a rejected
        login.
        """
        half = FIRST_PAUSE_SECONDS * 2.0 ** (min(self._failures, 32) - 2)
        half = min(half, self._pause_cap_seconds / 2) * self._patience
        return half + backoff(1, base_seconds=half, cap_seconds=half)

    async def probe(self) -> bool:
        """Ask the transport whether it is back, and open the lane if it is."""
        try:
            await self.transport.probe()
        except TransportDown as error:
            self._failures += 1
            self._in_the_way.clear()
            self._take_down(error)
            return False
        self.reason = None
        self.went_down.clear()
        return True


class Lanes(Mapping[str, Lane]):
    """A courier's lanes by their names, and which of them stand in for which."""

    def __init__(
        self,
        lanes: Iterable[Lane] = (),
        failover: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._lanes = {one.name: one for one in lanes}
        self._failover = failover or {}

    def way(self, name: str) -> Lane | None:
        """The lane by which the messages of lane ``name`` may leave now, if any.

        It is their own, or, while its transport is in trouble, the first open one of
        those that stand in. What a person paused waits.
        """
        own = self._lanes[name]
        if own.open:
            return own
        if own.held is not None:
            return None
        others = (self._lanes[one] for one in self._failover.get(name, ()))
        return next((one for one in others if one.open), None)

    def __getitem__(self, name: str) -> Lane:
        return self._lanes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)
