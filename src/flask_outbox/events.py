"""Signals: the code says what happens, and whoever wants to know listens.

Every signal's sender is the Flask app. Listeners run in the thread where it happened,
which for all that couriers and the relay do is a thread of their own, outside any
application context; one that raises is logged and never disturbs a delivery, not even
by ``sys.exit()`` in a courier. Payloads
are keyword arguments; take ``**_`` beside those that you name.

The signals that end an attempt (sent, deferred, failed, unknown, released) all carry
``message_id``, ``attempt``, ``lane``, ``courier``, ``replies`` (address → reply),
``due_at``, ``reason`` and ``dialogue``.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any

from blinker import NamedSignal, Namespace

_signals = Namespace()

message_enqueued = _signals.signal(
    "message-enqueued",
    doc="A message is durably kept; with ``session=``, once that transaction commits. "
    "``message_id``, ``duplicate``, ``seconds``.",
)
message_began = _signals.signal(
    "message-began",
    doc="An attempt begins. ``message_id``, ``attempt``, ``courier``, ``lane``, and "
    "``instead_of``: the lane for which that one stands in, or None.",
)
message_rendered = _signals.signal(
    "message-rendered",
    doc="The courier that delivers it rendered its template, and what came of it is "
    "kept. ``message_id``, ``attempt``, ``courier``, ``template``, ``version``.",
)
message_sent = _signals.signal(
    "message-sent",
    doc="The next hop accepted it for everyone who was still open.",
)
message_deferred = _signals.signal(
    "message-deferred",
    doc="It will be tried again, at ``due_at``.",
)
message_failed = _signals.signal(
    "message-failed",
    doc="It was given up for at least one recipient; see ``reason`` and ``replies``.",
)
message_unknown = _signals.signal(
    "message-unknown",
    doc="The link was lost after the final dot.",
)
message_released = _signals.signal(
    "message-released",
    doc="A courier gave it back untried; ``reason`` says why.",
)
message_suppressed = _signals.signal(
    "message-suppressed",
    doc="Recipients were left out, for they must not be mailed: at hand-over, or when "
    "a courier claimed it. ``message_id``, ``replies`` (address → why), ``finished`` "
    "(whether nobody is left).",
)
message_changed = _signals.signal(
    "message-changed",
    doc="An interceptor changed it before it was kept. ``message_id``, ``by`` (the "
    "function's name), ``fields`` (what it changed).",
)
message_stopped = _signals.signal(
    "message-stopped",
    doc="An interceptor kept it from being sent. ``message_id``, ``by``, ``reason``.",
)
message_rescued = _signals.signal(
    "message-rescued",
    doc="It was taken from a dead courier. ``message_id``, ``dead`` (that courier), "
    "``state`` (what the message became).",
)
message_cancelled = _signals.signal(
    "message-cancelled", doc="A person cancelled it. ``message_id``."
)
message_retried = _signals.signal(
    "message-retried", doc="A person asked for it again. ``message_id``."
)
message_resent = _signals.signal(
    "message-resent",
    doc="Its wait as *unknown* is over, and it is sent once more. ``message_id``, "
    "``courier``.",
)
message_sent_again = _signals.signal(
    "message-sent-again",
    doc="A person had a finished message sent again, as a new one. ``message_id``, "
    "``again_as`` (the new one's id).",
)
outbox_pruned = _signals.signal(
    "outbox-pruned",
    doc="Finished messages were let go of. ``bodies`` and ``rows`` (of how many went "
    "the content, and the record), ``courier`` (None where a person did it).",
)
batch_paused = _signals.signal(
    "batch-paused", doc="A person paused a batch. ``batch`` (its id)."
)
batch_resumed = _signals.signal(
    "batch-resumed", doc="A person let a paused batch go on. ``batch``."
)
batch_cancelled = _signals.signal(
    "batch-cancelled", doc="A person cancelled a batch. ``batch``."
)
lease_lost = _signals.signal(
    "lease-lost",
    doc="A courier came too late to record. ``message_id``, ``courier``.",
)
lane_paused = _signals.signal(
    "lane-paused", doc="A transport is down. ``lane``, ``reason``, ``seconds``."
)
lane_resumed = _signals.signal("lane-resumed", doc="A transport is back. ``lane``.")
courier_started = _signals.signal(
    "courier-started", doc="A courier began to work. ``courier``, ``engine``."
)
courier_stopped = _signals.signal(
    "courier-stopped", doc="A courier ended. ``courier``."
)
courier_stalled = _signals.signal(
    "courier-stalled",
    doc="A courier cannot reach the outbox and tries again. ``courier``, ``error``.",
)
relay_stalled = _signals.signal(
    "relay-stalled",
    doc="Couriers elsewhere cannot be told of new messages; they look by themselves, "
    "and telling is tried again. ``error``.",
)
relay_resumed = _signals.signal(
    "relay-resumed",
    doc="Couriers elsewhere are told of new messages again. ``failures``: how often it "
    "was tried in vain.",
)
message_sent_now = _signals.signal(
    "message-sent-now",
    doc="``send_now()`` has delivered a message, outside the outbox, or was refused. "
    "``content`` (RFC 5322 bytes) and ``report``.",
)
unsubscribed = _signals.signal(
    "unsubscribed",
    doc="Whoever got a mail has left its list by its link. ``address``, ``list``.",
)
resubscribed = _signals.signal(
    "resubscribed",
    doc="They have changed their mind, on the same page. ``address``, ``list``.",
)
email_dispatched = _signals.signal(
    "email-dispatched",
    doc="Flask-Mail's signal, sent at hand-over. ``message``: what was handed over; "
    "not for a duplicate, nor where nobody may get it or an interceptor stopped it.",
)

SLOW_LISTENER_SECONDS = 1.0
"""A listener that takes longer is named in the log."""

_log = logging.getLogger("flask_outbox")


def emit(signal: NamedSignal, sender: object, **payload: Any) -> None:
    """Send ``signal`` to each listener; one that raises is logged and passed over.

    One that takes long is named in the log: all mail waits for it.
    ``sender`` may be a weak reference: of an app that is gone there is no news.
    """
    _emit(signal, sender, payload, Exception)


def emit_from_courier(signal: NamedSignal, sender: object, **payload: Any) -> None:
    """The same in a courier's own thread, which no listener's ``sys.exit()`` ends."""
    _emit(signal, sender, payload, BaseException)


def _emit(
    signal: NamedSignal,
    sender: object,
    payload: Mapping[str, Any],
    survived: type[BaseException],
) -> None:
    if isinstance(sender, weakref.ref):
        sender = sender()
        if sender is None:
            return
    for receiver in signal.receivers_for(sender):
        began = time.monotonic()
        try:
            receiver(sender, **payload)
        except survived:
            _log.exception("A listener of %s raised; the mail goes on.", signal.name)
        seconds = time.monotonic() - began
        if seconds > SLOW_LISTENER_SECONDS:
            _log.warning(
                "The listener %s of %s took %.1f s, and all mail of this process "
                "waited for it: have it hand long work to a thread or a queue.",
                getattr(receiver, "__qualname__", repr(receiver)),
                signal.name,
                seconds,
            )
