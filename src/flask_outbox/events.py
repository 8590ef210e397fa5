"""What happens to a message: the kinds of event, and the ways an attempt can end.

An event is a fact with its time, as the outbox stores it. `flask_outbox.history` says
it in words.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from blinker import NamedSignal

from . import signals
from .delivery import State


class EventKind(StrEnum):
    """What happened to a message."""

    ENQUEUED = "enqueued"
    """It was stored in the outbox."""
    RESPONDED = "responded"
    """The request that sent it got its response."""
    CHANGED = "changed"
    """An interceptor changed it before it was stored."""
    STOPPED = "stopped"
    """An interceptor stopped it: it is cancelled."""
    SUPPRESSED = "suppressed"
    """Some or all of its recipients must not be mailed."""
    BEGAN = "began"
    """An attempt began."""
    RENDERED = "rendered"
    """A courier rendered its template."""
    SENT = "sent"
    """The next hop accepted it."""
    DEFERRED = "deferred"
    """It will be tried again later."""
    FAILED = "failed"
    """At least one recipient failed, and none will be tried again."""
    UNKNOWN = "unknown"
    """The connection was lost after the final dot: it may have arrived."""
    RETURNED = "returned"
    """A courier returned it without an attempt."""
    RESCUED = "rescued"
    """It was taken from a courier that died."""
    RESENT = "resent"
    """Its wait as *unknown* is over: it is sent again."""
    CANCELLED = "cancelled"
    """A person cancelled it or its batch."""
    RETRIED = "retried"
    """A person retried it."""
    RESEND_CONFIRMED = "resend_confirmed"
    """A person released it: it is sent again, though it may have arrived."""
    DROPPED = "dropped"
    """A person dropped it: it is not sent again, because it may have arrived."""
    SENT_AGAIN = "sent_again"
    """A person had its content sent again, as a new message."""
    MOVED = "moved"
    """It came here from another outbox."""
    STAYED = "stayed"
    """Its move to another outbox was abandoned."""
    ERASED = "erased"
    """Its content was erased, and what it said about a recipient."""
    DELAYED = "delayed"
    """Reported: a server after the next hop has not accepted it yet."""
    SOFT_BOUNCED = "soft_bounced"
    """Reported: it came back for a temporary reason."""
    DELIVERED = "delivered"
    """Reported: a recipient's server accepted it."""
    OPENED = "opened"
    """Reported: its pictures were fetched."""
    CLICKED = "clicked"
    """Reported: a link in it was followed."""
    BOUNCED = "bounced"
    """Reported: it came back for good."""
    UNSUBSCRIBED = "unsubscribed"
    """Reported: a recipient wants no more of its list."""
    COMPLAINED = "complained"
    """Reported: a recipient called it spam."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a message; ``detail`` depends on the kind and is plain JSON."""

    at: datetime
    kind: EventKind | str
    """A plain string if a later version of Flask-Outbox wrote the event."""
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """One way in which an attempt can end for its message.

    The kind's word also names the counter in statistics and metrics.
    """

    kind: EventKind
    state: State
    """What the message is afterwards."""
    signal: NamedSignal
    log_level: int
    log_format: str
    """What the log says after the message's id. It may name ``message_id``,
    ``attempt``, ``replies``, ``sentence``: the replies with a full stop, ``reason``,
    ``because``: the reason after a colon, "" without one, and ``retry``: how to retry
    it, or why that cannot be."""


_ENDS = (
    AttemptEnd(
        EventKind.SENT,
        State.SENT,
        signals.message_sent,
        logging.INFO,
        "sent on attempt {attempt}. {replies}",
    ),
    AttemptEnd(
        EventKind.DEFERRED,
        State.PENDING,
        signals.message_deferred,
        logging.WARNING,
        "deferred after attempt {attempt}; it will be tried again. {replies}",
    ),
    AttemptEnd(
        EventKind.FAILED,
        State.FAILED,
        signals.message_failed,
        logging.ERROR,
        "failed{because}. {sentence} {retry}",
    ),
    AttemptEnd(
        EventKind.UNKNOWN,
        State.UNKNOWN,
        signals.message_unknown,
        logging.WARNING,
        "unknown: the connection was lost after the final dot, so it may have arrived "
        "(OUTBOX_ON_UNKNOWN). {replies}",
    ),
    AttemptEnd(
        EventKind.RETURNED,
        State.PENDING,
        signals.message_returned,
        logging.INFO,
        "returned untried: {reason}",
    ),
)

ATTEMPT_ENDS: Mapping[EventKind, AttemptEnd] = {end.kind: end for end in _ENDS}
"""Each way in which an attempt can end, by the kind of its event."""


_KIND_OF = {end.state: end.kind for end in _ENDS if end.kind is not EventKind.RETURNED}


def attempt_end(state: State, *, attempted: bool) -> EventKind:
    """How the attempt ended; *returned* if there was none."""
    if not attempted:
        return EventKind.RETURNED
    return _KIND_OF[state]
