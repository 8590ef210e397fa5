"""Unreadable: a message whose rows are damaged is given up, and is in nobody's way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, update

from ..delivery import Envelope, Reply, State
from .enqueue import add_events, event_row
from .records import Claim
from .schema import message, recipient

SETTLED = [one.value for one in State if one.final]


def lost_claim(message_id: str, owner: str, lane: str, why: str) -> Claim:
    """The claim of a message of which nothing else can be told."""
    return Claim(
        id=message_id,
        owner=owner,
        token=0,
        attempt=0,
        crashes=0,
        lane=lane,
        envelope=Envelope("", ()),
        content=b"",
        give_up_at=0.0,
        unreadable=f"what the outbox keeps of it cannot be read: {why}",
    )


def give_up(connection: Connection, lost: Sequence[Claim], now: float) -> None:
    """Fail these messages for all who have not got them, and say why."""
    for one in lost:
        reason = Reply.observed(one.unreadable or "").text
        connection.execute(
            update(message)
            .where(message.c.id == one.id)
            .values(
                state=State.FAILED.value, finished_at=now, lease_owner=None, begun=0
            )
        )
        connection.execute(
            update(recipient)
            .where(recipient.c.message_id == one.id, recipient.c.state.not_in(SETTLED))
            .values(state=State.FAILED.value, reply_text=reason, replied_at=now)
        )
        event = event_row(one.id, now, "failed", reason=reason, replies={})
        add_events.run(connection, event)
