"""Takes the events of each transport's provider, and counts what comes of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..config import EventSettings, TransportSettings, is_transport_name
from ..errors import ConfigError, EventsRefused
from ..feedback import Fate
from ..feedback.provider import EventRequest, ProviderEvents, Said
from .registry import find_events
from .resolver import FindTransport


@dataclass(slots=True)
class EventCounts:
    """What one process was sent for one transport."""

    said: Counter[Fate] = field(default_factory=Counter)
    """How often each fate was reported, repetitions included."""
    unknown: Counter[str] = field(default_factory=Counter)
    """How many events of each unknown kind there were."""
    refused: Counter[int] = field(default_factory=Counter)
    """How many requests were answered with each status but 200."""


KINDS = 100
"""How many unknown kinds are counted by themselves; the others count as ``others``."""


class EventIntake:
    """Checks and reads the events of one transport."""

    def __init__(self, transport: str, provider: ProviderEvents) -> None:
        self.transport = transport
        self.provider = provider
        self._counting = threading.Lock()
        self._counts = EventCounts()

    @property
    def counts(self) -> EventCounts:
        """The counts of now."""
        with self._counting:
            known = self._counts
            return EventCounts(
                known.said.copy(), known.unknown.copy(), known.refused.copy()
            )

    def said(self, request: EventRequest) -> Said:
        """What a request says. Raises `EventsRefused`, which is counted."""
        self._check_type(request)
        self.provider.check(request)
        said = self.provider.read(request)
        with self._counting:
            self._counts.said.update(one.fate for one in said.feedback)
            for kind, times in said.unknown.items():
                known = (
                    kind in self._counts.unknown or len(self._counts.unknown) < KINDS
                )
                self._counts.unknown[kind if known else "others"] += times
        return said

    def _check_type(self, request: EventRequest) -> None:
        given = request.headers.get("content-type", "").partition(";")[0]
        wanted = self.provider.content_types
        if given.strip().lower() not in wanted:
            listed = " or ".join(wanted)
            raise EventsRefused(
                415, f"these events come as Content-Type: {listed}", given
            )

    def count_refusal(self, status: int) -> None:
        """Count a request that was answered with ``status``."""
        with self._counting:
            self._counts.refused[status] += 1


MOST = 1_000
"""Of more transports than that, the counts and certificates of all are forgotten."""


class EventIntakes:
    """The intakes of one app's transports, each made when it is first asked for."""

    def __init__(
        self,
        transports: Mapping[str, TransportSettings],
        find: FindTransport,
        resolve: Callable[[str], TransportSettings],
    ) -> None:
        self._transports = transports
        self._find = find
        self._resolve = resolve
        self._making = threading.Lock()
        self._made: dict[str, EventIntake] = {}

    def of(self, transport: str) -> EventIntake | None:
        """The intake of a transport; None if it takes no events.

        Raises `EventsRefused` if the app's transport resolver fails.
        """
        settings = self._settings(transport)
        if settings is None:
            return None
        with self._making:
            known = self._made.get(transport)
            if known is None or known.provider.settings != settings:
                known = EventIntake(transport, find_events(settings.scheme)(settings))
                if len(self._made) >= MOST:
                    self._made.clear()
                self._made[transport] = known
            return known

    def _settings(self, transport: str) -> EventSettings | None:
        known = self._transports.get(transport)
        if known is not None:
            return known.events
        if self._find.none or not is_transport_name(transport):
            return None
        try:
            return self._resolve(transport).events
        except ConfigError as error:
            if error.__cause__ is None:
                return None
            text = "the transport cannot be found at present: post the events again"
            raise EventsRefused(503, text, str(error)) from error

    @property
    def counts(self) -> Mapping[str, EventCounts]:
        """What this process was sent for each transport so far."""
        with self._making:
            return {name: one.counts for name, one in self._made.items()}
