"""What takes the events of each transport's provider."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from ..config import EventSettings, TransportSettings, is_transport_name
from ..errors import ConfigError, EventsRefused
from ..feedback.intake import EventCounts, EventIntake
from .registry import find_events
from .resolver import FindTransport

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
