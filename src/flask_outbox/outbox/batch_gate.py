"""The gate: nothing leaves of a batch that a person has stopped.

Whoever stops a batch writes that down in one commit, and sets its messages aside after
that, some at a time. What is claimed meanwhile, or comes back from a courier later, is
set aside here; so the batch stands still from that commit on, on every machine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, null, or_, select, update

from ..delivery import State
from .enqueue import add_events, event_row
from .records import Claim
from .schema import ZERO, batch, message, recipient


def let_through(
    connection: Connection, claims: Sequence[Claim], now: float
) -> list[Claim]:
    """The claims that are of no batch, or of one that goes on; the others set aside."""
    stopped = _stopped(connection, {one.batch for one in claims if one.batch})
    if not stopped:
        return list(claims)
    for which, state in stopped.items():
        ids = [one.id for one in claims if one.batch == which]
        if state is State.PAUSED:
            pause_some(connection, ids)
        else:
            cancel_some(connection, ids, which, now)
    return [one for one in claims if one.batch not in stopped]


def _stopped(connection: Connection, ids: Collection[str]) -> dict[str, State]:
    """Which of these batches are stopped, and what their messages become."""
    if not ids:
        return {}
    rows = connection.execute(
        select(*batch.c["id", "cancelled_at"]).where(
            batch.c.id.in_(ids),
            or_(batch.c.paused_at.is_not(None), batch.c.cancelled_at.is_not(None)),
        )
    )
    return {
        row.id: State.PAUSED if row.cancelled_at is None else State.CANCELLED
        for row in rows
    }


def pause_some(connection: Connection, ids: Collection[str]) -> None:
    """Set these messages aside until their batch goes on."""
    connection.execute(
        update(message)
        .where(message.c.id.in_(ids))
        .values(state=State.PAUSED.value, lease_owner=null(), begun=ZERO)
    )


def cancel_some(
    connection: Connection, ids: Collection[str], which: str, now: float
) -> None:
    """Take these messages of the batch ``which`` out of the outbox's work."""
    connection.execute(
        update(message)
        .where(message.c.id.in_(ids))
        .values(
            state=State.CANCELLED.value, lease_owner=null(), begun=ZERO, finished_at=now
        )
    )
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id.in_(ids),
            recipient.c.state == State.PENDING.value,
        )
        .values(state=State.CANCELLED.value)
    )
    add_events.run_many(
        connection, [event_row(one, now, "cancelled", batch=which) for one in ids]
    )
