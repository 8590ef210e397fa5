"""The signals of an enqueued message: who gets it, and what changed it."""

from __future__ import annotations

from email.message import Message as StandardMessage

from .. import signals
from ..message import Message
from ..outbox.records import NewMessage, Receipt
from ..signals import emit


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
        emit(signals.email_dispatched, sender, message=message)
    announce_receipt(sender, receipt, nobody, seconds)
    if receipt.duplicate:
        return
    for change in new.changes:
        emit(
            signals.message_changed,
            sender,
            message_id=receipt.id,
            by=change.by,
            fields=change.fields,
        )
    if new.stop:
        emit(
            signals.message_stopped,
            sender,
            message_id=receipt.id,
            by=new.stop.by,
            reason=new.stop.reason,
        )


def announce_receipt(
    sender: object, receipt: Receipt, nobody: bool, seconds: float
) -> None:
    """Announce that a message is stored, and which recipients are suppressed.

    ``nobody`` says that all of them are.
    """
    emit(
        signals.message_enqueued,
        sender,
        message_id=receipt.id,
        duplicate=receipt.duplicate,
        seconds=seconds,
    )
    if receipt.suppressed:
        emit(
            signals.message_suppressed,
            sender,
            message_id=receipt.id,
            replies=receipt.suppressed,
            finished=nobody,
        )
