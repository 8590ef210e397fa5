"""Telling: the signals that follow a hand-over."""

from __future__ import annotations

from . import events
from .outbox.records import NewMessage, Receipt


def tell_of_handover(
    sender: object, new: NewMessage, receipt: Receipt, seconds: float
) -> None:
    """Tell that ``new`` is kept, how it was changed, and whom it is kept from."""
    tell_of_receipt(sender, receipt, _nobody(new, receipt), seconds)
    if receipt.duplicate:
        return
    for change in new.changes:
        events.emit(
            events.message_changed,
            sender,
            message_id=receipt.id,
            by=change.by,
            fields=change.fields,
        )
    if new.stop:
        events.emit(
            events.message_stopped,
            sender,
            message_id=receipt.id,
            by=new.stop.by,
            reason=new.stop.reason,
        )


def goes_out(new: NewMessage, receipt: Receipt) -> bool:
    """Whether this hand-over has a mail sent to anyone."""
    return not (receipt.duplicate or new.stop or _nobody(new, receipt))


def tell_of_receipt(
    sender: object, receipt: Receipt, nobody: bool, seconds: float
) -> None:
    """Tell that a message is kept, and whom it is kept back from."""
    events.emit(
        events.message_enqueued,
        sender,
        message_id=receipt.id,
        duplicate=receipt.duplicate,
        seconds=seconds,
    )
    if receipt.suppressed:
        events.emit(
            events.message_suppressed,
            sender,
            message_id=receipt.id,
            replies=receipt.suppressed,
            finished=nobody,
        )


def _nobody(new: NewMessage, receipt: Receipt) -> bool:
    return len(receipt.suppressed) == len(new.envelope.recipients)
