"""A lane: one transport with its limits and circuit breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from ..delivery import storable
from ..errors import AccountTrouble, LoginRejected, Throttled, TransportDown
from ..limits import Limit, backoff
from ..transports.base import Transport

FIRST_PAUSE_SECONDS = 1.0
"""The longest first pause: a restarted server is back after about as long."""

LOGIN_PAUSE_FACTOR = 60
"""After a rejected login, pauses are this many times longer, also the longest one: many
servers lock a client out after five rejections in ten minutes."""

LONGEST_ASKED_SECONDS = 3_600.0
"""The longest pause that a server may ask for."""

PAUSES_BY_ONE_MESSAGE = 3
"""A message that meets trouble of its transport this many times in a row, while probes
find nothing wrong, is taken to be its cause."""


class Lane:
    """One transport under its name, paused while it is in trouble or by a person.

    ``limits`` say how many messages may leave by it in a given time.
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
        self.allowed_at: float = 0.0
        """When its limits allow another message, by `time.monotonic`."""
        self.reason: str | None = None
        """What is wrong with its transport; None when nothing is."""
        self.paused_by_operator: str | None = None
        """Why a person paused it; None when no person did."""
        self.ending = False
        """Whether no more is claimed for it, and it is closed when nothing is left."""
        self.went_down: asyncio.Event = asyncio.Event()
        self.probe_at: float = 0.0
        """When it is probed next, by `time.monotonic`; 0 until that is known."""
        self._stays_down = False
        """Whether a probe has failed since it went down."""
        self._pause_cap_seconds = pause_cap_seconds
        self._failures = 0
        self._pause_factor = 1
        self._asked_seconds: float | None = None
        """How long the server asked to be left alone, if it did."""
        self._met_trouble: dict[str, int] = {}
        self._met_trouble_before: dict[str, int] = {}

    @property
    def open(self) -> bool:
        """Whether the lane may be used now."""
        return self.reason is None and self.paused_by_operator is None

    @property
    def accepts_claims(self) -> bool:
        """Whether more messages may be claimed for it now."""
        return self.open

    def may_deliver_before(self, until: float) -> bool:
        """Whether its limits allow a message before ``until``, by `time.monotonic`, and
        it is open or may be by then: after its first probe, but not after one that
        failed.
        """
        if self.paused_by_operator is not None or self.allowed_at >= until:
            return False
        return self.reason is None or not (self._stays_down or self.probe_at >= until)

    @property
    def why_paused(self) -> str:
        """Why it is paused, in words."""
        return f"lane {self.name} is paused: {self.paused_by_operator or self.reason}"

    def pause(self, error: TransportDown, message_id: str = "") -> None:
        """Pause the lane: ``message_id`` met trouble of its transport.

        A second trouble of the account, with no mail delivered in between, counts as a
        failed probe.
        """
        of_the_account = isinstance(error, AccountTrouble)
        if self.reason is None:
            self._failures = self._failures + 1 if of_the_account else 1
            self._met_trouble_before = self._met_trouble
            self._met_trouble = {}
            self.probe_at, self._stays_down = 0.0, False
            self.went_down.set()
        if not of_the_account:
            times = self._met_trouble_before.get(message_id, 0)
            self._met_trouble[message_id] = times + 1
        self._take_down(error)

    def _take_down(self, error: TransportDown) -> None:
        self.reason = storable(str(error))
        self._pause_factor = (
            LOGIN_PAUSE_FACTOR if isinstance(error, LoginRejected) else 1
        )
        self._asked_seconds = (
            error.wait_seconds if isinstance(error, Throttled) else None
        )

    def note_attempt(self) -> None:
        """Note that a message was attempted, with whatever result."""
        if self.reason is None:
            self._failures = 0

    def is_caused_by(self, message_id: str, error: TransportDown | None = None) -> bool:
        """Whether trouble that this message meets now must be caused by the message.

        It is if the message met trouble before each of the last pauses, and a probe
        then found nothing wrong. Trouble of the account is never caused by one message.
        """
        if isinstance(error, AccountTrouble):
            return False
        pauses = self._met_trouble.get(message_id, 0)
        return self.reason is None and pauses >= PAUSES_BY_ONE_MESSAGE - 1

    def wait_seconds(self) -> float:
        """How many seconds to wait before the next probe.

        Doubles with each failure in a row, up to the cap, and is much longer after a
        rejected login. Random, but at least half of the full wait, so that a dead
        server is not flooded with probes. A server that says how long gets just that.
        """
        if self._asked_seconds is not None:
            return min(self._asked_seconds, LONGEST_ASKED_SECONDS)
        half = FIRST_PAUSE_SECONDS * 2.0 ** (min(self._failures, 32) - 2)
        half = min(half, self._pause_cap_seconds / 2) * self._pause_factor
        return half + backoff(1, base_seconds=half, cap_seconds=half)

    async def probe(self) -> bool:
        """Probe the transport, and open the lane if it works again."""
        try:
            await self.transport.probe()
        except TransportDown as error:
            self._failures += 1
            self._met_trouble.clear()
            self._stays_down = True
            self._take_down(error)
            return False
        self.reason = None
        self.went_down.clear()
        return True


class Lanes(dict[str, Lane]):
    """A courier's lanes by name, and which of them stand in for which."""

    def __init__(
        self,
        lanes: Iterable[Lane] = (),
        failover: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__((one.name, one) for one in lanes)
        self._failover = failover or {}

    def lane_for(self, name: str) -> Lane | None:
        """The lane by which messages of lane ``name`` may leave now, if any.

        It is their own, or, while its transport is in trouble, the first open stand-in.
        Messages of a lane that a person paused wait.
        """
        own = self.get(name)
        if own is None or own.paused_by_operator is not None:
            return None
        if own.accepts_claims:
            return own
        others = (self[one] for one in self._failover.get(name, ()))
        return next((one for one in others if one.open), None)
