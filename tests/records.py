"""Records of messages as the outbox answers them, made without an outbox."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_outbox.delivery import State
from flask_outbox.events import Event, EventKind
from flask_outbox.outbox.records import MessageRecord, Recipient

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def a_record(id: str, at: datetime = EPOCH) -> MessageRecord:
    """A pending message for Ada that a script handed over at ``at``."""
    return MessageRecord(
        id=id,
        state=State.PENDING,
        subject="Hello",
        return_path="shop@example.com",
        rfc_message_id=f"<{id}@example.com>",
        lane="default",
        priority=0,
        key=None,
        tag=None,
        metadata=None,
        origin=None,
        size_bytes=100,
        enqueued_at=at,
        due_at=at,
        recipients=(Recipient("ada@example.org", State.PENDING, None),),
        attempts=(),
        events=(Event(at, EventKind.ENQUEUED, {}),),
    )
