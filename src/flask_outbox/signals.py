"""The signals that Flask-Outbox sends.

Every signal's sender is the Flask app. Listeners run in the thread that sends the
signal: for what couriers and the notifier do, that is a background thread without an
application context. A listener that raises is logged and never disturbs a delivery, not
even by ``sys.exit()`` in a courier. Payloads are keyword arguments; also take ``**_``,
since signals may get more of them. With ``OUTBOX_TRACES``, those of a hand-over or an
attempt have ``trace_id``, the trace in which the message was handed over.

The signals that end an attempt (sent, deferred, failed, unknown, returned) all carry
``message_id``, ``attempt``, ``lane``, ``courier``, ``replies`` (address → reply),
``due_at``, ``reason``, ``dialogue``, ``hidden`` (whether nobody may see its content,
which is removed at its end) and ``suppressed`` (whether everyone who refused it has
been suppressed for that).
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from blinker import NamedSignal, Namespace

from .log_context import about

_signals = Namespace()

message_enqueued: NamedSignal = _signals.signal(
    "message-enqueued",
    doc="A message is stored durably, with ``session=`` once that transaction commits. "
    "``message_id``, ``duplicate``, ``seconds``.",
)
message_began: NamedSignal = _signals.signal(
    "message-began",
    doc="An attempt begins. ``message_id``, ``attempt``, ``courier``, ``lane``, and "
    "``instead_of``: the lane whose fallback that one is, or None.",
)
message_rendered: NamedSignal = _signals.signal(
    "message-rendered",
    doc="The courier that delivers it rendered its template and stored the result. "
    "``message_id``, ``attempt``, ``courier``, ``template``, ``version``.",
)
message_sent: NamedSignal = _signals.signal(
    "message-sent",
    doc="The next hop accepted it for all remaining recipients.",
)
message_deferred: NamedSignal = _signals.signal(
    "message-deferred",
    doc="It will be tried again, at ``due_at``.",
)
message_failed: NamedSignal = _signals.signal(
    "message-failed",
    doc="At least one recipient failed, and none will be tried again; see ``reason`` "
    "and ``replies``.",
)
message_unknown: NamedSignal = _signals.signal(
    "message-unknown",
    doc="The connection was lost after the final dot.",
)
message_returned: NamedSignal = _signals.signal(
    "message-returned",
    doc="A courier returned it without an attempt; ``reason`` says why.",
)
message_suppressed: NamedSignal = _signals.signal(
    "message-suppressed",
    doc="Recipients who must not be mailed were left out, when it was enqueued or when "
    "a courier claimed it. ``message_id``, ``replies`` (address → why), ``finished`` "
    "(whether no recipient is left).",
)
message_changed: NamedSignal = _signals.signal(
    "message-changed",
    doc="An interceptor changed it before it was stored. ``message_id``, ``by`` (the "
    "function's name), ``fields`` (what it changed).",
)
message_stopped: NamedSignal = _signals.signal(
    "message-stopped",
    doc="An interceptor stopped it. ``message_id``, ``by``, ``reason``.",
)
message_rescued: NamedSignal = _signals.signal(
    "message-rescued",
    doc="It was taken from a dead courier. ``message_id``, ``dead`` (that courier), "
    "``state`` (what the message became).",
)
message_cancelled: NamedSignal = _signals.signal(
    "message-cancelled", doc="A person cancelled it. ``message_id``."
)
message_retried: NamedSignal = _signals.signal(
    "message-retried", doc="A person retried it. ``message_id``."
)
message_resent: NamedSignal = _signals.signal(
    "message-resent",
    doc="Its wait as *unknown* is over, and it is sent again. ``message_id``, "
    "``courier``.",
)
message_sent_again: NamedSignal = _signals.signal(
    "message-sent-again",
    doc="A person sent a finished message again, as a new one. ``message_id``, "
    "``again_as`` (the new one's id).",
)
outbox_pruned: NamedSignal = _signals.signal(
    "outbox-pruned",
    doc="Finished messages were pruned. ``bodies`` and ``rows`` (how many contents and "
    "how many records were deleted), ``courier`` (None if a person did it).",
)
batch_paused: NamedSignal = _signals.signal(
    "batch-paused", doc="A person paused a batch. ``batch`` (its id)."
)
batch_resumed: NamedSignal = _signals.signal(
    "batch-resumed", doc="A person resumed a paused batch. ``batch``."
)
batch_cancelled: NamedSignal = _signals.signal(
    "batch-cancelled", doc="A person cancelled a batch. ``batch``."
)
lease_lost: NamedSignal = _signals.signal(
    "lease-lost",
    doc="A courier's lease ended before it could record. ``message_id``, ``courier``.",
)
lane_paused: NamedSignal = _signals.signal(
    "lane-paused", doc="A transport is down. ``lane``, ``reason``, ``seconds``."
)
lane_resumed: NamedSignal = _signals.signal(
    "lane-resumed", doc="A transport works again. ``lane``."
)
alert_raised: NamedSignal = _signals.signal(
    "alert-raised",
    doc="Something has been wrong for too long. Sent by one process for all. "
    "``alert_id``, ``kind`` (`AlertKind`), ``lane`` (or None), ``words``, "
    '``reason`` (why a lane is down, else ""), ``began_at``, ``courier``.',
)
alert_ended: NamedSignal = _signals.signal(
    "alert-ended",
    doc="That is over. The same, and ``ended_at``.",
)
courier_started: NamedSignal = _signals.signal(
    "courier-started", doc="A courier started. ``courier``, ``engine``."
)
courier_stopped: NamedSignal = _signals.signal(
    "courier-stopped", doc="A courier stopped. ``courier``."
)
courier_stalled: NamedSignal = _signals.signal(
    "courier-stalled",
    doc="A courier cannot use the outbox, and retries. ``courier``, ``error``.",
)
notifier_stalled: NamedSignal = _signals.signal(
    "notifier-stalled",
    doc="Couriers in other processes cannot be notified of new messages. They poll "
    "until that works again. ``error``.",
)
notifier_resumed: NamedSignal = _signals.signal(
    "notifier-resumed",
    doc="Couriers in other processes are notified of new messages again. ``failures``: "
    "how often that failed before.",
)
message_sent_now: NamedSignal = _signals.signal(
    "message-sent-now",
    doc="``send_now()`` has delivered a message, outside the outbox, or was refused. "
    "``content`` (RFC 5322 bytes; None with ``sensitive=True``) and ``report``.",
)
fate_changed: NamedSignal = _signals.signal(
    "fate-changed",
    doc="Somebody reported what became of the mail to one recipient, and that is more "
    "than was known. ``message_id``, ``address``, ``fate`` (`Fate`), ``before`` (the "
    "one before, or None), ``at``, ``reply`` (the words of the recipient's server, or "
    "None), ``source`` (who says it), ``operator`` (whether the sender's own set-up is "
    "at fault).",
)
address_suppressed: NamedSignal = _signals.signal(
    "address-suppressed",
    doc="A report, a refusal or a provider's list put an address on the suppression "
    "list. ``address``, "
    "``list``, ``reason``, ``source``, ``evidence``.",
)
unsubscribed: NamedSignal = _signals.signal(
    "unsubscribed",
    doc="A recipient unsubscribed from a list by the link in a mail. ``address``, "
    "``list``.",
)
resubscribed: NamedSignal = _signals.signal(
    "resubscribed",
    doc="A recipient undid that on the same page. ``address``, ``list``.",
)
email_dispatched: NamedSignal = _signals.signal(
    "email-dispatched",
    doc="Flask-Mail's signal, sent once ``message`` is enqueued. Not sent for a "
    "duplicate, a message whose recipients are all suppressed, or one that an "
    "interceptor stopped. That of a message with ``sensitive=True`` is without its "
    "content, and its subject is ``(sensitive)``.",
)

SLOW_LISTENER_SECONDS = 1.0
"""A listener that takes longer is logged by name."""

_log = logging.getLogger("flask_outbox")


class _Line(NamedTuple):
    """The log's listener of a signal, and whether it has anything to say."""

    tell: Callable[..., None]
    wanted: Callable[[], bool]


_lines: dict[NamedSignal, _Line] = {}


def log_when(
    wanted: Callable[[], bool], signal: NamedSignal, tell: Callable[..., None]
) -> None:
    """Have ``tell`` called before the listeners of ``signal``, while ``wanted()``.

    It is for signals that each message sends: one that nobody wants costs little.
    """
    _lines[signal] = _Line(tell, wanted)


def emit(
    signal: NamedSignal,
    sender: object,
    survived: type[BaseException] = Exception,
    /,
    **payload: Any,
) -> None:
    """Send ``signal`` to each listener; one that raises is logged and skipped.

    A slow one is logged by name, because all mail waits for it. ``sender`` may be a
    weak reference; if it is dead, nothing is sent. What is not ``survived`` is
    raised: a listener's ``sys.exit()`` may end a thread of the app.
    """
    line = _lines.get(signal)
    ours = [line.tell] if line is not None and line.wanted() else []
    if not (ours or signal.receivers):
        return
    app = sender() if isinstance(sender, weakref.ref) else sender
    if app is None:
        return
    with about(app, payload):
        for receiver in chain(ours, signal.receivers_for(app)):
            began = time.monotonic()
            try:
                receiver(app, **payload)
            except survived:
                _log.exception(
                    "A listener of the signal %s raised; no mail is affected.",
                    signal.name,
                )
            seconds = time.monotonic() - began
            if seconds > SLOW_LISTENER_SECONDS:
                _log.warning(
                    "The listener %s of the signal %s took %.1f s, and all mail of "
                    "this process waited for it: move slow work to a thread or a "
                    "queue.",
                    getattr(receiver, "__qualname__", repr(receiver)),
                    signal.name,
                    seconds,
                )
