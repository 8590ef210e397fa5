"""Batches: how much of each is stored, and whether a person paused or cancelled it.

Stopping a batch is one commit that marks the batch. Its messages are paused or
cancelled after that, some at a time. A message that is claimed meanwhile, or deferred
later, is taken out at the claim (`skip_stopped_batches`). So no message is claimed on
any machine once that first commit is made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    case,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    update,
)

from ..delivery import Reply, State
from ..errors import BatchNotFound, TransitionRefused
from ..events import EventKind
from ..feedback import Fate
from ..recipient_guard import Guard
from .couriers import is_gone, this_process
from .enqueue import add_events, enqueue, event_row
from .ids import new_id
from .read import fate_of, moment
from .records import BatchRecord, BatchState, Claim, Failure, NewMessage, Receipt
from .schema import ONE, ZERO, batch, message, recipient
from .sealed import insert_sealed, query, same, seal
from .sensitive import remove_contents
from .states import transition


def skip_stopped_batches(
    connection: Connection, claims: Sequence[Claim], now: float
) -> list[Claim]:
    """The claims that belong to no stopped batch; others are paused or cancelled."""
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
    """Those of these batches that are stopped, and the state their messages get."""
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
    """Pause these messages until their batch is resumed."""
    connection.execute(
        transition(
            {State.PENDING, State.LEASED},
            State.PAUSED,
            lease_owner=null(),
            begun=ZERO,
        ).where(message.c.id.in_(ids))
    )


def cancel_some(
    connection: Connection, ids: Collection[str], which: str, now: float
) -> None:
    """Cancel these messages of the batch ``which``."""
    connection.execute(
        transition(
            {State.PENDING, State.PAUSED, State.LEASED},
            State.CANCELLED,
            lease_owner=null(),
            begun=ZERO,
            finished_at=now,
        ).where(message.c.id.in_(ids))
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
        connection,
        [event_row(one, now, EventKind.CANCELLED, batch=which) for one in ids],
    )
    remove_contents(connection, ids)


STEP = 500
"""The most messages that one transaction pauses, resumes or cancels."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How much of a batch is stored."""

    id: str
    name: str
    rows_stored: int
    digest: str
    ended: bool


# ------------------------------------------------------------------------ enqueueing


def begin(
    connection: Connection,
    name: str,
    tag: str | None,
    key: str | None,
    total: int | None,
    now: float,
) -> BatchProgress:
    """A new batch, or the one that has ``key``."""
    if key is not None:
        wanted = select(batch).where(same(connection, batch.c.key, key))
        present = connection.execute(wanted).first()
        if present is not None:
            return _progress(present)
    which = new_id()
    values = {
        "id": which,
        "name": name,
        "tag": tag,
        "key": key,
        "rows_stored": 0,
        "total": total,
        "digest": "",
        "process": this_process(),
        "began_at": now,
        "stored_at": now,
    }
    insert_sealed(connection, batch, values)
    return BatchProgress(which, name, 0, "", ended=False)


def resume_hand_over(
    connection: Connection, which: str, total: int | None
) -> BatchProgress:
    """Continue enqueueing a batch in this process, unless it is complete."""
    row = _locked(connection, which)
    if row.ended_at is None and row.cancelled_at is None:
        changes = {"process": this_process(), "error": None, "total": total}
        connection.execute(update(batch).where(batch.c.id == which).values(**changes))
    return _progress(row)


def _progress(row: Row[Any]) -> BatchProgress:
    ended = row.ended_at is not None
    return BatchProgress(row.id, row.name, row.rows_stored, row.digest, ended)


def store_rows(
    connection: Connection,
    progress: BatchProgress,
    messages: Sequence[NewMessage],
    digest: str,
    now: float,
    guard: Guard,
) -> list[Receipt]:
    """Add the next messages of a batch and update its progress, in one transaction.

    Raises `TransitionRefused` if the batch was cancelled, or if its progress is not
    ``progress`` because another process enqueues it too.
    """
    row = _locked(connection, progress.id)
    if row.cancelled_at is not None:
        raise TransitionRefused(
            f"Batch {row.id} was cancelled after row {row.rows_stored:,}: later rows "
            "were not stored.",
            anchor="batch-cancelled",
        )
    if row.rows_stored != progress.rows_stored:
        raise TransitionRefused(
            f"Another process is storing rows of batch {row.id}: it now has "
            f"{row.rows_stored:,} rows, and had {progress.rows_stored:,} here. No row "
            "was stored twice. Let only one process store the batch.",
            anchor="two-writers",
        )
    waiting = State.PENDING if row.paused_at is None else State.PAUSED
    receipts = enqueue(connection, messages, guard, waiting=waiting)
    connection.execute(
        update(batch)
        .where(batch.c.id == row.id)
        .values(
            rows_stored=row.rows_stored + len(messages),
            digest=digest,
            stored_at=now,
            error=None,
        )
    )
    return receipts


def end(connection: Connection, which: str, now: float) -> None:
    """Record that every row of the batch is stored."""
    row = _locked(connection, which)
    changes = {"ended_at": now, "total": row.rows_stored, "error": None}
    connection.execute(update(batch).where(batch.c.id == which).values(**changes))


def interrupt(connection: Connection, which: str, error: str) -> None:
    """Record why enqueueing broke off."""
    _set(connection, which, **seal(connection, batch, which, {"error": error}))


def _locked(connection: Connection, which: str) -> Row[Any]:
    """The batch's row, locked until the transaction ends. Raises `BatchNotFound`."""
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
    """Stop claims of the batch's messages; `pause_next` then pauses these."""
    _refuse_cancelled(_locked(connection, which))
    _set(connection, which, paused_at=now)


def resume(connection: Connection, which: str) -> None:
    """Allow claims of the batch's messages again; `resume_next` then resumes these."""
    _refuse_cancelled(_locked(connection, which))
    _set(connection, which, paused_at=None)


def cancel(connection: Connection, which: str, now: float) -> None:
    """Stop claims of the batch's messages for good; `cancel_next` cancels these."""
    row = _locked(connection, which)
    since = now if row.cancelled_at is None else row.cancelled_at
    _set(connection, which, cancelled_at=since, paused_at=None)


def _refuse_cancelled(row: Row[Any]) -> None:
    if row.cancelled_at is not None:
        raise TransitionRefused(
            f"Batch {row.id} was cancelled, which cannot be undone.",
            anchor="batch-cancelled",
        )


def _set(connection: Connection, which: str, **changes: Any) -> None:
    connection.execute(update(batch).where(batch.c.id == which).values(**changes))


def pause_next(connection: Connection, which: str) -> list[str]:
    """Pause the next pending messages; return their ids."""
    ids = _next(connection, which, State.PENDING)
    pause_some(connection, ids)
    return ids


def resume_next(
    connection: Connection, which: str, now: float, retry_seconds: float
) -> list[str]:
    """Make the next paused messages pending; return their ids.

    They are retried for ``retry_seconds``, counted from now or from their due time.
    """
    ids = _next(connection, which, State.PAUSED)
    from_when = case((message.c.due_at > now, message.c.due_at), else_=now)
    connection.execute(
        transition(
            {State.PAUSED}, State.PENDING, give_up_at=from_when + retry_seconds
        ).where(message.c.id.in_(ids))
    )
    return ids


def cancel_next(connection: Connection, which: str, now: float) -> list[str]:
    """Cancel the next pending or paused messages; return their ids."""
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


# ------------------------------------------------------------------------ reading


def get(connection: Connection, which: str) -> BatchRecord | None:
    """One batch with counts of its messages; None if there is none with this id."""
    row = query(connection, select(batch).where(batch.c.id == which)).first()
    if row is None:
        return None
    counts = _counts(connection, [which])[which]
    return replace(_record(row, counts), fates=_fates(connection, which))


def _fates(connection: Connection, which: str) -> dict[Fate, int]:
    rows = connection.execute(
        select(recipient.c.fate, func.count())
        .join(message, message.c.id == recipient.c.message_id)
        .where(message.c.batch == which, recipient.c.fate.is_not(None))
        .group_by(recipient.c.fate)
    )
    return {fate: count for word, count in rows if (fate := fate_of(word))}


def newest(connection: Connection, limit: int, before: str | None) -> list[BatchRecord]:
    """The newest batches that are older than the id ``before``."""
    wanted = select(batch).order_by(batch.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(batch.c.id < before)
    rows = query(connection, wanted).all()
    counts = _counts(connection, [row.id for row in rows])
    return [_record(row, counts[row.id]) for row in rows]


def _counts(connection: Connection, ids: Sequence[str]) -> dict[str, dict[State, int]]:
    """How many messages of each of these batches are in which state."""
    found: dict[str, dict[State, int]] = {one: {} for one in ids}
    rows = connection.execute(
        select(message.c.batch, message.c.state, func.count())
        .where(message.c.batch.in_(ids))
        .group_by(message.c.batch, message.c.state)
    )
    for which, state, count in rows:
        found[which][State(state)] = count
    return found


def _record(row: Row[Any], counts: dict[State, int]) -> BatchRecord:
    return BatchRecord(
        id=row.id,
        name=row.name,
        state=_state(row, counts),
        key=row.key,
        tag=row.tag,
        rows_stored=row.rows_stored,
        total=row.total,
        counts=counts,
        began_at=moment(row.began_at),
        stored_at=moment(row.stored_at),
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
"""Final states of a message that some recipient did not get, or may not have got."""


def failures(
    connection: Connection, which: str, state: State, after: str | None, limit: int
) -> list[tuple[str, Failure]]:
    """Recipients who did not get it, of the next ``limit`` messages in ``state``.

    Each comes with its message's id. A message to several recipients may have *failed*
    although some of them got it; those are left out.
    """
    some = select(*message.c["id", "batch_row"]).where(
        message.c.batch == which, message.c.state == state.value
    )
    if after is not None:
        some = some.where(message.c.id > after)
    chosen = some.order_by(message.c.id).limit(limit).subquery()
    rows = query(
        connection,
        select(chosen.c.id, chosen.c.batch_row, recipient)
        .join(recipient, recipient.c.message_id == chosen.c.id)
        .where(recipient.c.state != State.SENT.value)
        .order_by(chosen.c.id, recipient.c.position),
    )
    return [(row.id, _failure(row)) for row in rows]


def _failure(row: Row[Any]) -> Failure:
    said = ""
    if row.reply_text is not None:
        said = str(Reply(row.reply_code, row.reply_enhanced, row.reply_text))
    return Failure(
        row.batch_row, row.id, row.address, State(row.state), said, fate_of(row.fate)
    )


CAME_BACK = (Fate.BOUNCED, Fate.COMPLAINED, Fate.SOFT_BOUNCED)
"""Fates of mail that was sent and that its recipient did not get, or did not want."""


def failed_later(
    connection: Connection, which: str, fate: Fate, after: str | None, limit: int
) -> list[tuple[str, Failure]]:
    """The next ``limit`` recipients to whom it was sent and of whom ``fate`` is
    reported, with their messages' ids. All of one message come together.
    """
    some = (
        select(recipient.c.message_id)
        .join(message, message.c.id == recipient.c.message_id)
        .where(message.c.batch == which, recipient.c.fate == fate.value)
        .distinct()
    )
    if after is not None:
        some = some.where(recipient.c.message_id > after)
    chosen = some.order_by(recipient.c.message_id).limit(limit).subquery()
    rows = query(
        connection,
        select(message.c.batch_row, recipient)
        .join(chosen, chosen.c.message_id == recipient.c.message_id)
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.fate == fate.value, recipient.c.state == State.SENT.value)
        .order_by(recipient.c.message_id, recipient.c.position),
    )
    return [
        (
            row.message_id,
            Failure(
                row.batch_row,
                row.message_id,
                row.address,
                State.SENT,
                row.fate_text or "",
                fate,
            ),
        )
        for row in rows
    ]


def delete_empty(connection: Connection, before: float, limit: int) -> int:
    """Delete batches that have no messages and got none since ``before``; how many."""
    old = connection.scalars(
        select(batch.c.id)
        .where(
            batch.c.stored_at < before,
            ~exists(select(ONE).where(message.c.batch == batch.c.id)),
        )
        .limit(limit)
    ).all()
    connection.execute(delete(batch).where(batch.c.id.in_(old)))
    return len(old)
