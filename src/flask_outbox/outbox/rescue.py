"""Rescue: what a dead courier, a lost answer or a lost link left is taken up again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    null,
    or_,
    select,
    update,
)

from ..delivery import State
from .enqueue import add_events, event_row
from .hot import Hot
from .schema import LEASED, PENDING, ZERO, content, message, recipient

POISON_CRASHES = 3
"""A message during whose delivery this many couriers died is failed as poison."""

CLOCK_SLACK_SECONDS = 1.0
"""How far two clocks, or two looks at one, differ though nobody set them."""

SWEEP_LIMIT = 1_000
"""Messages that one sweep takes up at most, so that no transaction grows long."""


def leased_to(connection: Connection, owner: str) -> list[str]:
    """Every message that the outbox believes to be leased to ``owner``."""
    return list(
        connection.scalars(
            select(message.c.id).where(
                message.c.state == LEASED, message.c.lease_owner == owner
            )
        )
    )


def give_back(
    connection: Connection, owner: str, ids: Collection[str], reason: str, now: float
) -> None:
    """Make pending again, untried, what is leased to ``owner`` among ``ids``."""
    for one in ids:
        if _give_back.run(connection, {"b_id": one, "b_owner": owner}) == 1:
            add_events.run(connection, event_row(one, now, "released", reason=reason))


_give_back = Hot(
    update(message)
    .where(
        message.c.id == bindparam("b_id"),
        message.c.lease_owner == bindparam("b_owner"),
        message.c.state == LEASED,
    )
    .values(state=PENDING, lease_owner=null(), begun=ZERO)
)


_UNRENDERED = exists(
    select(content.c.message_id).where(
        content.c.message_id == message.c.id, content.c.template.is_not(None)
    )
)


def rescue(
    connection: Connection, owner: str, now: float, *, hold: bool
) -> list[tuple[str, State]]:
    """Take over every message that the dead courier ``owner`` left leased.

    What it had durably begun counts as a crash: the third makes it poison, and with
    ``hold`` it becomes *unknown*, unless it was not even rendered. What it may have
    begun becomes suspect, and is next delivered carefully.
    """
    leased = connection.execute(
        select(*message.c["id", "begun", "crashes"], _UNRENDERED.label("unrendered"))
        .where(message.c.state == LEASED, message.c.lease_owner == owner)
        .with_for_update(skip_locked=True)
    ).all()
    rescued = [
        (row.id, *_after_crash(row.begun, row.crashes, hold and not row.unrendered))
        for row in leased
    ]
    for message_id, state, crashes in rescued:
        _rescue_one(connection, message_id, state, crashes, owner, now)
    return [(message_id, state) for message_id, state, _ in rescued]


def _after_crash(begun: int, crashes: int, hold: bool) -> tuple[State, int]:
    crashes = crashes + 1 if begun else max(crashes, 1)
    if begun and hold:
        return State.UNKNOWN, crashes
    if crashes >= POISON_CRASHES:
        return State.FAILED, crashes
    return State.PENDING, crashes


_taken = Hot(
    update(message)
    .where(message.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        crashes=bindparam("b_crashes"),
        finished_at=bindparam("b_finished_at"),
        lease_owner=null(),
        begun=ZERO,
    )
)

_LOST_RECIPIENTS = update(recipient).where(
    recipient.c.message_id == bindparam("b_id"),
    recipient.c.state == State.PENDING.value,
)


def _rescue_one(
    connection: Connection,
    message_id: str,
    state: State,
    crashes: int,
    owner: str,
    now: float,
) -> None:
    _taken.run(
        connection,
        {
            "b_id": message_id,
            "b_state": state.value,
            "b_crashes": crashes,
            "b_finished_at": now if state.final else None,
        },
    )
    if state.final:
        connection.execute(
            _LOST_RECIPIENTS.values(state=state.value, replied_at=now),
            {"b_id": message_id},
        )
    add_events.run(
        connection,
        event_row(
            message_id,
            now,
            "rescued",
            courier=owner,
            state=state.value,
            crashes=crashes,
        ),
    )


def resend_unknown(connection: Connection, now: float) -> list[str]:
    """Make pending again what has been *unknown* for its whole wait."""
    ids = connection.scalars(
        select(message.c.id)
        .where(message.c.state == State.UNKNOWN.value, message.c.due_at <= now)
        .limit(SWEEP_LIMIT)
        .with_for_update(skip_locked=True)
    ).all()
    for message_id in ids:
        reopen(connection, message_id, now, {State.UNKNOWN})
    add_events.run_many(connection, [event_row(one, now, "resent") for one in ids])
    return list(ids)


def hasten(connection: Connection, now: float, *, deferred: bool) -> int:
    """Make due now what waits only because the clock was put back; how many those are.

    They were handed over at a time that is still to come, and were due at once or had
    been tried. With ``deferred``, whatever had been tried is due.
    """
    tried = message.c.attempts > 0
    early = and_(
        message.c.enqueued_at > now + CLOCK_SLACK_SECONDS,
        or_(tried, message.c.due_at <= message.c.enqueued_at),
    )
    hastened = connection.execute(
        update(message)
        .where(
            message.c.state == PENDING,
            message.c.due_at > now,
            or_(early, tried) if deferred else early,
        )
        .values(due_at=now)
    )
    return hastened.rowcount


def reopen(
    connection: Connection,
    message_id: str,
    now: float,
    states: Collection[State],
    **values: Any,
) -> None:
    """Make a message pending and due, for its recipients in one of ``states``."""
    connection.execute(
        update(message)
        .where(message.c.id == message_id)
        .values(state=State.PENDING.value, due_at=now, finished_at=None, **values)
    )
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == message_id,
            recipient.c.state.in_([state.value for state in states]),
        )
        .values(state=State.PENDING.value)
    )
