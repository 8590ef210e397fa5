"""Takes up messages again that a dead courier or a lost connection left behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row as ResultRow

from ..delivery import State
from ..events import EventKind
from .couriers import Heartbeat, is_registered, remove_if_dead, unregister
from .enqueue import add_events, event_row
from .schema import LEASED, PENDING, ZERO, content, message, recipient
from .sensitive import remove_contents
from .statements import Row
from .states import RowsTransition, transition

POISON_CRASHES = 3
"""A message fails as poison once this many couriers have died while delivering it."""

CLOCK_SLACK_SECONDS = 1.0
"""How far two clocks, or two readings of one, may differ although nobody set them."""

SWEEP_LIMIT = 1_000
"""The most messages that one transaction takes up, so that it stays short."""


def leased_to(connection: Connection, owner: str) -> list[str]:
    """The ids of all messages that are leased to ``owner``."""
    return list(
        connection.scalars(
            select(message.c.id).where(
                message.c.state == LEASED, message.c.lease_owner == owner
            )
        )
    )


def return_untried(
    connection: Connection, owner: str, ids: Collection[str], reason: str, now: float
) -> None:
    """Return, untried, those of ``ids`` that are leased to ``owner``."""
    held = connection.scalars(
        select(message.c.id)
        .where(
            message.c.id.in_(ids),
            message.c.lease_owner == owner,
            message.c.state == LEASED,
        )
        .order_by(message.c.id)
        .with_for_update()
    ).all()
    connection.execute(
        transition({State.LEASED}, State.PENDING, lease_owner=null(), begun=ZERO).where(
            message.c.id.in_(held)
        )
    )
    add_events.run_many(
        connection,
        [event_row(one, now, EventKind.RETURNED, reason=reason) for one in held],
    )


_UNRENDERED = exists(
    select(content.c.message_id).where(
        content.c.message_id == message.c.id, content.c.template.is_not(None)
    )
)


_LEASED_TO: Select[Any] = (
    select(*message.c["id", "begun", "crashes"], _UNRENDERED.label("unrendered"))
    .where(message.c.state == LEASED, message.c.lease_owner == bindparam("owner"))
    .with_for_update(skip_locked=True)
)


def resign(connection: Connection, owner: str, now: float) -> None:
    """Remove the courier ``owner``; what is leased to it is returned untried."""
    leased = leased_to(connection, owner)
    return_untried(connection, owner, leased, "its courier stopped", now)
    unregister(connection, owner)


def rescue(
    connection: Connection,
    dead: Iterable[Heartbeat],
    nobodys: Iterable[str],
    now: float,
    *,
    hold_unknown: bool,
) -> list[tuple[str, str, State]]:
    """Take over the messages of ``dead`` couriers, but of one that has renewed since,
    and of the owners ``nobodys`` that have no heartbeat, but of one that has one now.

    Returns each message's id, its courier, and its new state. For a message whose
    attempt was durably begun (`claim.begin`), this counts as a crash: with
    ``hold_unknown`` the message becomes *unknown* (unless it was not rendered yet),
    else it fails at `POISON_CRASHES`. Any other message may have been begun, so its
    next attempt is a careful one.
    """
    owners = [one.courier for one in dead if remove_if_dead(connection, one)]
    owners += [one for one in nobodys if not is_registered(connection, one)]
    return [
        (one.message_id, owner, one.state)
        for owner in owners
        for one in _rescue_from(connection, owner, now, hold_unknown=hold_unknown)
    ]


def _rescue_from(
    connection: Connection, owner: str, now: float, *, hold_unknown: bool
) -> list[Rescued]:
    leased = connection.execute(_LEASED_TO, {"owner": owner}).all()
    rescued = [
        Rescued(row.id, *_after_crash(row, hold_unknown=hold_unknown)) for row in leased
    ]
    _taken.run(connection, [one.row(now) for one in rescued])
    for state in (State.UNKNOWN, State.FAILED):
        lost = [one.message_id for one in rescued if one.state is state]
        if lost:
            _settle_recipients(connection, lost, state, now)
    failed = [one.message_id for one in rescued if one.state is State.FAILED]
    remove_contents(connection, failed)
    add_events.run_many(connection, [one.event(owner, now) for one in rescued])
    return rescued


class Rescued(NamedTuple):
    """A message of a dead courier, and what becomes of it."""

    message_id: str
    state: State
    crashes: int

    def row(self, now: float) -> Row:
        """What the message's row becomes."""
        return {
            "id": self.message_id,
            "state": self.state.value,
            "crashes": self.crashes,
            "finished_at": now if self.state.final else None,
            "lease_owner": None,
            "begun": 0,
        }

    def event(self, owner: str, now: float) -> Row:
        """The event that it was taken from ``owner``."""
        return event_row(
            self.message_id,
            now,
            EventKind.RESCUED,
            courier=owner,
            state=self.state.value,
            crashes=self.crashes,
        )


def _after_crash(row: ResultRow[Any], *, hold_unknown: bool) -> tuple[State, int]:
    crashes = row.crashes + 1 if row.begun else max(row.crashes, 1)
    if row.begun and hold_unknown and not row.unrendered:
        return State.UNKNOWN, crashes
    if crashes >= POISON_CRASHES:
        return State.FAILED, crashes
    return State.PENDING, crashes


_taken = RowsTransition(
    State.LEASED, ("crashes", "finished_at", "lease_owner", "begun")
)


def _settle_recipients(
    connection: Connection, ids: Sequence[str], state: State, now: float
) -> None:
    """Give the pending recipients of these messages their message's final state."""
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id.in_(ids),
            recipient.c.state == State.PENDING.value,
        )
        .values(state=state.value, replied_at=now)
    )


def resend_unknown(connection: Connection, now: float) -> list[str]:
    """Make *unknown* messages whose wait is over pending again; return their ids.

    Not those that are given up: these are due no earlier than that.
    """
    ids = connection.scalars(
        select(message.c.id)
        .where(
            message.c.state == State.UNKNOWN.value,
            message.c.due_at <= now,
            message.c.due_at < message.c.give_up_at,
        )
        .limit(SWEEP_LIMIT)
        .with_for_update(skip_locked=True)
    ).all()
    reopen(connection, ids, now, {State.UNKNOWN})
    add_events.run_many(
        connection, [event_row(one, now, EventKind.RESENT) for one in ids]
    )
    return list(ids)


def hasten(connection: Connection, now: float, *, deferred: bool) -> int:
    """Make messages due that wait only because the clock was set back; how many.

    These were enqueued at a time that is now in the future, and were due at once or
    tried before. With ``deferred``, all messages that were tried before become due.
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


REOPENABLE = frozenset(
    {
        *(State.PENDING, State.PAUSED, State.UNKNOWN),
        *(State.FAILED, State.CANCELLED, State.SUPPRESSED),
    }
)


def reopen(
    connection: Connection,
    ids: Collection[str],
    now: float,
    states: Collection[State],
    **values: Any,
) -> None:
    """Make messages pending and due, for their recipients in ``states``."""
    connection.execute(
        transition(
            REOPENABLE, State.PENDING, due_at=now, finished_at=None, **values
        ).where(message.c.id.in_(ids))
    )
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id.in_(ids),
            recipient.c.state.in_([state.value for state in states]),
        )
        .values(state=State.PENDING.value)
    )
