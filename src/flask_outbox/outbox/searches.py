"""What is searched for, and what a search and a count answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..delivery import State
from .records import CourierRecord, LaneRecord, Summary

COUNT_LIMIT = 10_000
"""From here on a count says "or more": people read no further, and counting costs."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a message must be like: all that is given must hold of it."""

    state: State | None = None
    due: bool | None = None
    """Of what is pending, what could be delivered now (True) or only later (False)."""
    lane: str | None = None
    tag: str | None = None
    batch: str | None = None
    """The id of the batch that it was handed over in."""
    address: str | None = None
    """A recipient: the whole address or, with ``*`` after it, the beginning of one."""
    id: str | None = None
    """Its id, or the beginning of that."""
    message_id: str | None = None
    """Its Message-ID header, with or without angle brackets."""
    subject: str | None = None
    """A part of its subject, in upper or lower case."""
    since: datetime | None = None
    """Handed over at this time or later."""
    until: datetime | None = None
    """Handed over before this time."""
    kept_here: bool = False
    """Only what stayed in the dev inbox, for any of its recipients."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the messages that a search found, newest first.

    A search looks at a limited number of messages for one page. What it found until
    then may be less than a page, or nothing, although there is more: ``looked_to`` says
    so, and the search goes on from ``older``, or from ``newer`` where that was asked.
    """

    messages: tuple[Summary, ...]
    older: str | None
    """What to pass as ``before`` for the page after this one; None: there is none."""
    newer: str | None
    """What to pass as ``after`` for the page before this one; None: there is none."""
    looked_to: datetime | None
    """As far as this time the search has looked; None: as far as it had to."""


class Tab(StrEnum):
    """The states as people sort them: what is pending waits, or is scheduled."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    LEASED = "leased"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    PAUSED = "paused"
    MOVING = "moving"

    @property
    def state(self) -> State:
        """The state that its messages have: what to search for, with `due`."""
        if self in (Tab.WAITING, Tab.SCHEDULED):
            return State.PENDING
        return State(self.value)

    @property
    def due(self) -> bool | None:
        """Whether they could be delivered now; None where that says nothing."""
        return {Tab.WAITING: True, Tab.SCHEDULED: False}.get(self)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; where it is not ``exact``, at least so many."""

    number: int
    exact: bool = True

    @classmethod
    def of(cls, counted: int) -> Count:
        """What was counted until it was more than `COUNT_LIMIT`."""
        return cls(min(counted, COUNT_LIMIT), counted <= COUNT_LIMIT)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.exact else f"{self.number:,}+"


@dataclass(frozen=True, slots=True)
class Glance:
    """The outbox as it is shown again and again: no count costs more than its limit."""

    counts: Mapping[Tab, Count]
    lanes: tuple[LaneRecord, ...]
    """Those that are paused, or on which messages wait; say their numbers as
    `Count.of` them."""
    couriers: tuple[CourierRecord, ...]
