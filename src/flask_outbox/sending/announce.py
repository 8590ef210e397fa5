"""The signals of an enqueued message: who gets it, and what changed it.

Of a sensitive message they have only the outline.
"""

from __future__ import annotations

import copy
from email.message import EmailMessage
from email.message import Message as StandardMessage
from typing import TYPE_CHECKING

from blinker import NamedSignal

from .. import signals
from ..delivery import Report
from ..message import Message
from ..message.text import SENSITIVE_SUBJECT
from ..signals import emit
from ..trace_context import TraceContext, trace_fields

if TYPE_CHECKING:
    from ..outbox.records import NewMessage, Receipt

to_record: NamedSignal = NamedSignal("message-to-record")
"""As `email_dispatched`, with the content of sensitive messages too: for
`Mail.record_messages` alone."""

to_test: NamedSignal = NamedSignal("message-to-test")
"""As `message_sent_now`, with the content of sensitive messages too: for
`flask_outbox.testing` alone."""


def announce_handover(
    sender: object,
    message: Message | StandardMessage,
    new: NewMessage,
    receipt: Receipt,
    seconds: float,
) -> None:
    """Announce that ``message`` is stored as ``new``, which took ``seconds``.

    `email_dispatched` is sent only where the message goes out to anyone.
    """
    nobody = len(receipt.suppressed) == len(new.envelope.recipients)
    if not (receipt.duplicate or new.stop or nobody):
        announce_dispatch(sender, message, sensitive=bool(new.sensitivity))
    announce_receipt(sender, receipt, nobody, seconds, new.trace)
    if receipt.duplicate:
        return
    for change in new.changes:
        emit(
            signals.message_changed,
            sender,
            message_id=receipt.id,
            by=change.by,
            fields=change.fields,
            **trace_fields(new.trace),
        )
    if new.stop:
        emit(
            signals.message_stopped,
            sender,
            message_id=receipt.id,
            by=new.stop.by,
            reason=new.stop.reason,
            **trace_fields(new.trace),
        )


def announce_dispatch(
    sender: object, message: Message | StandardMessage, *, sensitive: bool
) -> None:
    """Send `email_dispatched`, of a ``sensitive`` message without its content."""
    emit(to_record, sender, message=message)
    if sensitive and signals.email_dispatched.receivers:
        message = _outline(message)
    emit(signals.email_dispatched, sender, message=message)


def announce_sent_now(
    sender: object, content: bytes, report: Report, *, sensitive: bool
) -> None:
    """Announce what ``send_now`` has delivered, or had refused."""
    emit(to_test, sender, content=content, report=report)
    told = None if sensitive else content
    emit(signals.message_sent_now, sender, content=told, report=report)


def announce_receipt(
    sender: object,
    receipt: Receipt,
    nobody: bool,
    seconds: float,
    trace: TraceContext | None = None,
) -> None:
    """Announce that a message is stored, and which recipients are suppressed.

    ``nobody`` says that all of them are, and ``trace`` which span handed it over.
    """
    emit(
        signals.message_enqueued,
        sender,
        message_id=receipt.id,
        duplicate=receipt.duplicate,
        seconds=seconds,
        **trace_fields(trace),
    )
    if receipt.suppressed:
        emit(
            signals.message_suppressed,
            sender,
            message_id=receipt.id,
            replies=receipt.suppressed,
            finished=nobody,
            **trace_fields(trace),
        )


_HEADERS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id"}
)

_FIELDS = frozenset(
    {
        *("recipients", "cc", "bcc", "sender", "reply_to", "date", "charset"),
        *("mail_options", "rcpt_options", "rfc_message_id"),
    }
)
"""What the outline of a message has, by headers and by fields."""


def _outline(message: Message | StandardMessage) -> Message | StandardMessage:
    """A message of the same kind that says only who mails whom, and when."""
    if isinstance(message, StandardMessage):
        return _standard_outline(message)
    new = copy.copy(message)
    for name in vars(new).keys() - _FIELDS:
        del vars(new)[name]
    new.subject = SENSITIVE_SUBJECT
    new.body = new.template = None
    new.alts, new.attachments, new.extra_headers = {}, [], {}
    return new


def _standard_outline(message: StandardMessage) -> StandardMessage:
    kind = EmailMessage if isinstance(message, EmailMessage) else StandardMessage
    new = kind(policy=message.policy)
    for name, value in message.items():
        if name.lower() in _HEADERS:
            new[name] = value
    new["Subject"] = SENSITIVE_SUBJECT
    return new
