"""Takes the requests of one transport's provider, and counts what comes of them."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from ..errors import EventsRefused
from .fate import Fate
from .provider import EventRequest, ProviderEvents, Said


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
