"""The kinds of event that webhooks tell, and the events of a history that they tell.

A history has more kinds of event than its reader outside the app needs. A webhook says
what became of the message: the word for its state, or for a recipient's fate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..delivery import State
from ..events import EventKind
from ..feedback import Fate

_FATES = tuple(fate.value for fate in Fate)

ALERT_KINDS = ("alert_raised", "alert_ended")
"""Kinds that tell an alert, not what became of a message."""

_LEFT_OUT_BY_DEFAULT = {
    *ALERT_KINDS,
    EventKind.DEFERRED.value,
    Fate.DELAYED.value,
    Fate.OPENED.value,
    Fate.CLICKED.value,
}
"""Kinds after which more is to come, or that say nothing of a delivery."""

WEBHOOK_KINDS: tuple[str, ...] = (
    EventKind.SENT.value,
    EventKind.DEFERRED.value,
    EventKind.FAILED.value,
    EventKind.UNKNOWN.value,
    EventKind.CANCELLED.value,
    EventKind.SUPPRESSED.value,
    *_FATES,
    *ALERT_KINDS,
)
"""Every kind that an endpoint can ask for."""

DEFAULT_WEBHOOK_KINDS: tuple[str, ...] = tuple(
    kind for kind in WEBHOOK_KINDS if kind not in _LEFT_OUT_BY_DEFAULT
)
"""Those that an endpoint is told unless it says which."""

TEST = "test"
"""The kind of an event that a person makes to try an endpoint."""

_SAID_BY = {
    EventKind.CANCELLED.value: (EventKind.STOPPED.value, EventKind.DROPPED.value),
    EventKind.FAILED.value: (EventKind.RESCUED.value,),
    EventKind.UNKNOWN.value: (EventKind.RESCUED.value,),
}
"""Kind → events of a history, other than those with its own name, that may say it."""


def sources(kinds: Collection[str]) -> list[str]:
    """The kinds of event in a history that may say one of ``kinds``."""
    return sorted({*kinds, *(one for kind in kinds for one in _SAID_BY.get(kind, ()))})


def told_as(kind: str, detail: Mapping[str, Any]) -> str | None:
    """The kind that tells an event of a history; None if no kind does."""
    if kind == EventKind.RESCUED:
        ended = detail["state"] in (State.FAILED, State.UNKNOWN)
        return str(detail["state"]) if ended else None
    if kind in (EventKind.STOPPED, EventKind.DROPPED):
        return EventKind.CANCELLED.value
    return kind if kind in WEBHOOK_KINDS else None
