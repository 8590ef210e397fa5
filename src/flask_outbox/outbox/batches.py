"""Batches: how far each hand-over came, and what a person decided of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, delete, exists, func, select, update

from ..delivery import Reply, State
from ..errors import BatchNotFound, TransitionRefused
from ..guard import Guard
from .asking import moment
from .batch_gate import cancel_some, pause_some
from .batch_records import BatchRecord, BatchState, Failure
from .couriers import is_gone, this_process
from .enqueue import enqueue_together
from .ids import new_id
from .records import NewMessage, Receipt
from .schema import ONE, batch, message, recipient

STEP = 500
"""Messages that are set aside, put back or cancelled in one transaction."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the hand-over of a batch has come."""

    id: str
    name: str
    kept: int
    digest: str
    ended: bool


# --------------------------------------------------------------------- handing over


def begin(
    connection: Connection,
    name: str,
    tag: str | None,
    key: str | None,
    total: int | None,
    now: float,
) -> Standing:
    """A new batch, or the one that has ``key``."""
    if key is not None:
        present = connection.execute(select(batch).where(batch.c.key == key)).first()
        if present is not None:
            return _standing(present)
    which = new_id()
    values = {
        "id": which,
        "name": name,
        "tag": tag,
        "key": key,
        "kept": 0,
        "total": total,
        "digest": "",
        "process": this_process(),
        "began_at": now,
        "kept_at": now,
    }
    connection.execute(batch.insert().values(**values))
    return Standing(which, name, 0, "", ended=False)


def go_on(connection: Connection, which: str, total: int | None) -> Standing:
    """The batch, as one whose hand-over goes on here unless it has ended."""
    row = _locked(connection, which)
    if row.ended_at is None and row.cancelled_at is None:
        changes = {"process": this_process(), "error": None, "total": total}
        connection.execute(update(batch).where(batch.c.id == which).values(**changes))
    return _standing(row)


def _standing(row: Row[Any]) -> Standing:
    ended = row.ended_at is not None
    return Standing(row.id, row.name, row.kept, row.digest, ended)


def keep(
    connection: Connection,
    standing: Standing,
    messages: Sequence[NewMessage],
    digest: str,
    now: float,
    guard: Guard,
) -> list[Receipt]:
    """Add the next messages of a batch, and that they are here, in one commit.

    Raises `TransitionRefused` where it was cancelled, or is not as far as ``standing``
    says because somebody else hands it over as well.
    """
    row = _locked(connection, standing.id)
    if row.cancelled_at is not None:
        raise TransitionRefused(
            f"Batch {row.id} was cancelled after row {row.kept:,}: what comes after "
            "that was not kept."
        )
    if row.kept != standing.kept:
        raise TransitionRefused(
            f"Batch {row.id} is being handed over by another process at this moment: "
            f"it has {row.kept:,} rows, and had {standing.kept:,} here. Nothing was "
            "kept twice. Let one of them come to its end."
        )
    waiting = State.PENDING if row.paused_at is None else State.PAUSED
    receipts = enqueue_together(connection, messages, waiting, guard)
    connection.execute(
        update(batch)
        .where(batch.c.id == row.id)
        .values(kept=row.kept + len(messages), digest=digest, kept_at=now, error=None)
    )
    return receipts


def end(connection: Connection, which: str, now: float) -> None:
    """Write down that every row is kept."""
    row = _locked(connection, which)
    changes = {"ended_at": now, "total": row.kept, "error": None}
    connection.execute(update(batch).where(batch.c.id == which).values(**changes))


def interrupt(connection: Connection, which: str, error: str) -> None:
    """Write down why the hand-over broke off."""
    connection.execute(update(batch).where(batch.c.id == which).values(error=error))


def _locked(connection: Connection, which: str) -> Row[Any]:
    """The batch, which nobody else changes until the end of the transaction."""
    row = connection.execute(
        select(batch).where(batch.c.id == which).with_for_update()
    ).first()
    if row is None:
        raise not_found(which)
    return row


def not_found(which: str) -> BatchNotFound:
    """The error for an id that no batch has."""
    return BatchNotFound(
        f"No batch has the id {which!r}. 'flask outbox batch list' shows them."
    )


# ------------------------------------------------------------------- stopping it


def pause(connection: Connection, which: str, now: float) -> None:
    """Let nothing of it be claimed any more; see `set_aside`."""
    _refuse_cancelled(_locked(connection, which))
    _set(connection, which, paused_at=now)


def resume(connection: Connection, which: str) -> None:
    """Let its messages be claimed again; see `put_back`."""
    _refuse_cancelled(_locked(connection, which))
    _set(connection, which, paused_at=None)


def cancel(connection: Connection, which: str, now: float) -> None:
    """Let nothing of it be claimed ever again; see `call_off`."""
    row = _locked(connection, which)
    since = now if row.cancelled_at is None else row.cancelled_at
    _set(connection, which, cancelled_at=since, paused_at=None)


def _refuse_cancelled(row: Row[Any]) -> None:
    if row.cancelled_at is not None:
        raise TransitionRefused(f"Batch {row.id} was cancelled: that is its end.")


def _set(connection: Connection, which: str, **changes: Any) -> None:
    connection.execute(update(batch).where(batch.c.id == which).values(**changes))


def set_aside(connection: Connection, which: str) -> list[str]:
    """Set the next messages aside that wait; their ids."""
    ids = _next(connection, which, State.PENDING)
    pause_some(connection, ids)
    return ids


def put_back(
    connection: Connection, which: str, now: float, patience: float
) -> list[str]:
    """Let the next messages wait again that were set aside; their ids.

    They are given up ``patience`` seconds after they could have left.
    """
    ids = _next(connection, which, State.PAUSED)
    from_when = case((message.c.due_at > now, message.c.due_at), else_=now)
    connection.execute(
        update(message)
        .where(message.c.id.in_(ids))
        .values(state=State.PENDING.value, give_up_at=from_when + patience)
    )
    return ids


def call_off(connection: Connection, which: str, now: float) -> list[str]:
    """Cancel the next messages that wait or were set aside; their ids."""
    ids = _next(connection, which, State.PENDING) or _next(
        connection, which, State.PAUSED
    )
    cancel_some(connection, ids, which, now)
    return ids


def _next(connection: Connection, which: str, state: State) -> list[str]:
    return list(
        connection.scalars(
            select(message.c.id)
            .where(message.c.batch == which, message.c.state == state.value)
            .order_by(message.c.id)
            .limit(STEP)
            .with_for_update(skip_locked=True)
        )
    )


# ------------------------------------------------------------------------- asking


def get(connection: Connection, which: str) -> BatchRecord | None:
    """One batch, its messages counted."""
    row = connection.execute(select(batch).where(batch.c.id == which)).first()
    return _record(connection, row) if row else None


def newest(connection: Connection, limit: int, before: str | None) -> list[BatchRecord]:
    """The newest batches first, older than the id ``before``."""
    wanted = select(batch).order_by(batch.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(batch.c.id < before)
    return [_record(connection, row) for row in connection.execute(wanted).all()]


def _record(connection: Connection, row: Row[Any]) -> BatchRecord:
    counts = {
        State(state): count
        for state, count in connection.execute(
            select(message.c.state, func.count())
            .where(message.c.batch == row.id)
            .group_by(message.c.state)
        )
    }
    return BatchRecord(
        id=row.id,
        name=row.name,
        state=_state(row, counts),
        key=row.key,
        tag=row.tag,
        kept=row.kept,
        total=row.total,
        counts=counts,
        began_at=moment(row.began_at),
        kept_at=moment(row.kept_at),
        ended_at=None if row.ended_at is None else moment(row.ended_at),
        paused_at=None if row.paused_at is None else moment(row.paused_at),
        cancelled_at=None if row.cancelled_at is None else moment(row.cancelled_at),
        error=row.error,
    )


def _state(row: Row[Any], counts: dict[State, int]) -> BatchState:
    if row.cancelled_at is not None:
        return BatchState.CANCELLED
    if row.paused_at is not None:
        return BatchState.PAUSED
    if row.error is not None:
        return BatchState.INTERRUPTED
    if row.ended_at is None:
        gone = is_gone(row.process)
        return BatchState.INTERRUPTED if gone else BatchState.ENQUEUEING
    done = all(state.final for state in counts)
    return BatchState.DONE if done else BatchState.SENDING


MISSED = (State.FAILED, State.UNKNOWN, State.SUPPRESSED, State.CANCELLED)
"""States of a message that somebody did not get, as far as anybody knows."""


def failures(
    connection: Connection, which: str, state: State, after: str | None, limit: int
) -> list[tuple[str, Failure]]:
    """Who of the next ``limit`` messages of a state missed it, with the message's id.

    A message to several may be *failed* although some of them got it: only the others
    are answered.
    """
    some = select(*message.c["id", "batch_row"]).where(
        message.c.batch == which, message.c.state == state.value
    )
    if after is not None:
        some = some.where(message.c.id > after)
    chosen = some.order_by(message.c.id).limit(limit).subquery()
    rows = connection.execute(
        select(chosen.c.id, chosen.c.batch_row, recipient)
        .join(recipient, recipient.c.message_id == chosen.c.id)
        .where(recipient.c.state != State.SENT.value)
        .order_by(chosen.c.id, recipient.c.position)
    )
    return [(row.id, _failure(row)) for row in rows]


def _failure(row: Row[Any]) -> Failure:
    said = ""
    if row.reply_text is not None:
        said = str(Reply(row.reply_code, row.reply_enhanced, row.reply_text))
    return Failure(row.batch_row, row.id, row.address, State(row.state), said)


def forget(connection: Connection, before: float, limit: int) -> int:
    """Forget batches that nothing is left of, and nothing came to since ``before``."""
    old = connection.scalars(
        select(batch.c.id)
        .where(
            batch.c.kept_at < before,
            ~exists(select(ONE).where(message.c.batch == batch.c.id)),
        )
        .limit(limit)
    ).all()
    connection.execute(delete(batch).where(batch.c.id.in_(old)))
    return len(old)
