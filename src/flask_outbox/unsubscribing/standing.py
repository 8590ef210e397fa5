"""Standing: whether an address gets a list's mail, and how it changes that itself."""

from __future__ import annotations

from enum import StrEnum

from .. import events
from ..outbox import suppressions
from ..runtime import Runtime
from .links import Way

SOURCE = "unsubscribe"


class Standing(StrEnum):
    """Whether an address gets the mail of a list."""

    SUBSCRIBED = "subscribed"
    LEFT = "left"
    """By such a link; so it can come back by it."""
    SUPPRESSED = "suppressed"
    """By somebody else, who alone can end that."""


def standing_of(runtime: Runtime, way: Way) -> Standing:
    """How things stand at this moment."""
    found = runtime.outbox.suppressed_by(way.address, way.list)
    if found is None:
        return Standing.SUBSCRIBED
    own = found.source == SOURCE and found.list == way.list
    return Standing.LEFT if own else Standing.SUPPRESSED


def leave(runtime: Runtime, way: Way) -> None:
    """Have the address get no more of that list; again changes nothing."""
    outbox = runtime.outbox
    entry = suppressions.entry(
        way.address, way.list, "unsubscribed", SOURCE, outbox.clock()
    )
    if outbox.suppress_all([entry]):
        runtime.tell(events.unsubscribed, address=way.address, list=way.list)


def come_back(runtime: Runtime, way: Way) -> None:
    """End what `leave` began, and nobody else's suppression."""
    if runtime.outbox.unsuppress(way.address, list=way.list, source=SOURCE):
        runtime.tell(events.resubscribed, address=way.address, list=way.list)
