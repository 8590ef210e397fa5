"""What a person may do to a message: cancel it, retry it, decide the unknown."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, or_, select, update

from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..guard import Guard
from ..patience import Patience
from . import suppressions
from .doorbell import MAIL, ring
from .enqueue import add_events, event_row
from .rescue import reopen
from .schema import batch, content, message, recipient

RETRIED = frozenset({State.FAILED, State.UNKNOWN, State.CANCELLED, State.SUPPRESSED})
"""Recipients whom a retry tries again: whoever has not got the message."""


def cancel(connection: Connection, message_id: str, now: float) -> None:
    """Take a pending message, or one on hold as unknown, out of the outbox's work."""
    state = locked(connection, message_id)
    if state == State.LEASED:
        raise TransitionRefused(
            f"Message {message_id} is being delivered at this moment and cannot be "
            "cancelled. If the attempt is put off, cancel it then."
        )
    _refuse_moving(message_id, state)
    if state not in (State.PENDING, State.UNKNOWN, State.PAUSED):
        raise TransitionRefused(
            f"Message {message_id} is {state}: there is nothing to cancel."
        )
    _set(connection, message_id, State.CANCELLED, now)
    add_events.run(connection, event_row(message_id, now, "cancelled"))


def retry(
    connection: Connection,
    message_id: str,
    now: float,
    patience: Patience,
    guard: Guard,
) -> None:
    """Make a message due now, for everyone who has not got it.

    Its ``patience`` begins anew.
    """
    state = locked(connection, message_id)
    if state == State.SENT:
        raise _sent(connection, message_id)
    if state == State.LEASED:
        raise TransitionRefused(f"Message {message_id} is being delivered right now.")
    _refuse_moving(message_id, state)
    _refuse_in_stopped_batch(connection, message_id)
    kept = select(content.c.message_id).where(content.c.message_id == message_id)
    if connection.scalar(kept) is None:
        raise TransitionRefused(
            f"Message {message_id} cannot be retried: its content was pruned "
            "(OUTBOX_KEEP_BODIES)."
        )
    _try_again(connection, message_id, now, RETRIED, patience, guard)
    add_events.run(connection, event_row(message_id, now, "retried"))
    ring(connection, MAIL)


def _try_again(
    connection: Connection,
    message_id: str,
    now: float,
    states: Collection[State],
    patience: Patience,
    guard: Guard,
) -> None:
    """Reopen the message, unless nobody of those in ``states`` may be mailed."""
    tag = connection.scalar(select(message.c.tag).where(message.c.id == message_id))
    _refuse_if_barred(connection, message_id, tag, guard)
    give_up_at = now + patience.seconds_for(tag)
    reopen(connection, message_id, now, states, crashes=0, give_up_at=give_up_at)


def _refuse_in_stopped_batch(connection: Connection, message_id: str) -> None:
    """Raise for what would only be set aside again, because its batch is stopped."""
    stopped = connection.execute(
        select(*batch.c["id", "cancelled_at"])
        .join(message, message.c.batch == batch.c.id)
        .where(
            message.c.id == message_id,
            or_(batch.c.paused_at.is_not(None), batch.c.cancelled_at.is_not(None)),
        )
    ).first()
    if stopped is None:
        return
    if stopped.cancelled_at is None:
        raise TransitionRefused(
            f"Message {message_id} cannot be retried: its batch {stopped.id} is "
            "paused. 'flask outbox batch resume' ends that."
        )
    raise TransitionRefused(
        f"Message {message_id} cannot be retried: its batch {stopped.id} was "
        "cancelled. 'flask outbox send-again' sends it as a message of its own."
    )


def _sent(connection: Connection, message_id: str) -> TransitionRefused:
    left_out = select(recipient.c.address).where(
        recipient.c.message_id == message_id,
        recipient.c.state == State.SUPPRESSED.value,
    )
    if connection.scalars(left_out).first() is None:
        return TransitionRefused(
            f"Message {message_id} was sent to everyone: there is nobody to retry."
        )
    return TransitionRefused(
        f"Message {message_id} was sent to everyone who could be mailed: send it anew "
        "to those who could not."
    )


def release(
    connection: Connection,
    message_id: str,
    now: float,
    patience: Patience,
    guard: Guard,
) -> None:
    """Make a message on hold as unknown due now, for those who may not have got it."""
    _refuse_unless_unknown(connection, message_id)
    _try_again(connection, message_id, now, {State.UNKNOWN}, patience, guard)
    add_events.run(connection, event_row(message_id, now, "let_go"))
    ring(connection, MAIL)


def drop(connection: Connection, message_id: str, now: float) -> None:
    """Have done with a message on hold as unknown: it is not sent once more."""
    _refuse_unless_unknown(connection, message_id)
    _set(connection, message_id, State.CANCELLED, now)
    add_events.run(connection, event_row(message_id, now, "dropped"))


def _refuse_unless_unknown(connection: Connection, message_id: str) -> None:
    state = locked(connection, message_id)
    if state is not State.UNKNOWN:
        raise TransitionRefused(
            f"Message {message_id} is {state}: only what is on hold as unknown can be "
            "released or dropped."
        )


def _refuse_if_barred(
    connection: Connection, message_id: str, tag: str | None, guard: Guard
) -> None:
    """Raise where nobody who has not got the message may be mailed."""
    waiting = connection.scalars(
        select(recipient.c.address)
        .where(
            recipient.c.message_id == message_id,
            recipient.c.state.in_({*RETRIED, State.PENDING}),
        )
        .order_by(recipient.c.position)
    ).all()
    found = suppressions.find(connection, waiting)
    barred = suppressions.barred(found, waiting, tag, guard)
    if waiting and len(barred) == len(waiting):
        address, reply = next(iter(barred.items()))
        raise TransitionRefused(
            f"Message {message_id} cannot be retried: nobody who has not got it may be "
            f"mailed ({address}: {reply}). 'flask outbox unsuppress' ends a "
            "suppression."
        )


def locked(connection: Connection, message_id: str) -> State:
    """The message's state, which stays so until the end of the transaction.

    Raises `MessageNotFound`.
    """
    state = connection.scalar(
        select(message.c.state).where(message.c.id == message_id).with_for_update()
    )
    if state is None:
        raise not_found(message_id)
    return State(state)


def _refuse_moving(message_id: str, state: State) -> None:
    if state == State.MOVING:
        raise TransitionRefused(
            f"Message {message_id} is on its way to another outbox: 'flask outbox "
            "status' says where. Ask for it there once it has arrived."
        )


def not_found(message_id: str) -> MessageNotFound:
    """The error for an id that no message has."""
    return MessageNotFound(
        f"No message has the id {message_id!r}. 'flask outbox list' shows them."
    )


def _set(connection: Connection, message_id: str, state: State, now: float) -> None:
    connection.execute(
        update(message)
        .where(message.c.id == message_id)
        .values(state=state.value, finished_at=now)
    )
    connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == message_id,
            recipient.c.state.in_((State.PENDING.value, State.UNKNOWN.value)),
        )
        .values(state=state.value)
    )
