"""Leases: who may deliver what, and recording it only while the lease holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Double,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.engine import Row as ResultRow

from ..delivery import Envelope, State, Verdict
from ..guard import Guard
from .answers import answer, answer_row
from .attachments import Rest, made_whole
from .batch_gate import let_through
from .enqueue import add_events, add_notes, as_json, event_row
from .hot import Hot, Row
from .keeping_back import keep_back
from .load import Load, that_fit
from .records import Claim
from .schema import LEASED, ONE, ZERO, content, event, message, recipient
from .unreadable import give_up, lost_claim
from .waiting import due_among, due_ids

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt's end, to be recorded under the lease that it was made with."""

    claim: Claim
    verdict: Verdict
    at: float
    kind: str
    detail: Mapping[str, Any]


def claim(
    connection: Connection,
    owner: str,
    lane: str,
    limit: int,
    now: float,
    guard: Guard,
    among: Sequence[str] | None = None,
    room: Mapping[str, int] | None = None,
    load: Load | None = None,
) -> list[Claim]:
    """Lease up to ``limit`` due messages of ``lane``: highest priority, then oldest.

    With ``among``, only of those; of a queue in ``room``, no more than it says. A claim
    without recipients is of a message that nobody may get, or can read: it is settled.
    What belongs to a batch that a person has stopped is set aside, and others are
    looked for. With ``load``, no more than there is room for, and it is told what there
    was none for.
    """
    if load is not None:
        load.left_bytes = 0
    while ids := _due(connection, lane, limit, now, room or {}, among):
        if load is not None:
            ids = that_fit(connection, ids, load)
            if not ids:
                break
        _lease.run_many(connection, [{"b_id": one, "b_owner": owner} for one in ids])
        readable, unreadable = _claims(connection, ids, owner, lane)
        give_up(connection, unreadable, now)
        claims = let_through(connection, readable, now)
        if claims or unreadable:
            return keep_back(connection, claims, now, guard) + unreadable
    return []


def _due(
    connection: Connection,
    lane: str,
    limit: int,
    now: float,
    room: Mapping[str, int],
    among: Sequence[str] | None,
) -> Sequence[str]:
    if among is None:
        return due_ids(connection, lane, limit, now, room)
    return due_among(connection, lane, limit, now, room, among)


_lease = Hot(
    update(message)
    .where(message.c.id == bindparam("b_id"))
    .values(
        state=LEASED,
        lease_owner=bindparam("b_owner"),
        lease_token=message.c.lease_token + ONE,
    )
)

_CLAIMED = (
    select(
        *message.c["id", "lease_owner", "lease_token", "attempts", "crashes", "lane"],
        *message.c["tag", "batch", "return_path", "give_up_at"],
        *content.c["body", "attached", "template", "envelope"],
    )
    .join(content, content.c.message_id == message.c.id)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
)

_RECIPIENTS = (
    select(*recipient.c["message_id", "address", "state"])
    .where(recipient.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(recipient.c.message_id, recipient.c.position)
)


def _claims(
    connection: Connection, ids: Sequence[str], owner: str, lane: str
) -> tuple[list[Claim], list[Claim]]:
    """What is kept of these messages: of those that can be read, and of the others."""
    states: dict[str, dict[str, str]] = {one: {} for one in ids}
    for row in connection.execute(_RECIPIENTS, {"ids": ids}):
        states[row.message_id][row.address] = row.state
    found = {row.id: row for row in connection.execute(_CLAIMED, {"ids": ids})}
    apart = {one: row for one, row in found.items() if row.attached}
    whole = made_whole(
        connection, {one: Rest(row.body, row.attached) for one, row in apart.items()}
    )
    readable, unreadable = [], []
    for one in ids:
        try:
            row = _present(found.get(one), "its content is not there")
            kept = whole.get(one) if one in apart else row.body
            content = _present(kept, "an attachment is not there")
            readable.append(_as_claim(row, states[one], content))
        except Exception as error:  # whatever it is, it is this message's
            unreadable.append(lost_claim(one, owner, lane, _words(error)))
    return readable, unreadable


def _present(value: T | None, otherwise: str) -> T:
    if value is None:
        raise LookupError(otherwise)
    return value


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LookupError) else repr(error)


def envelope(row: ResultRow[Any], recipients: Iterable[str]) -> Envelope:
    """The envelope that is kept in ``row``, to these ``recipients``."""
    options = json.loads(row.envelope) if row.envelope else {}
    return Envelope(
        return_path=row.return_path,
        recipients=tuple(recipients),
        utf8_headers=options.get("utf8_headers", False),
        mail_options=tuple(options.get("mail_options", ())),
        rcpt_options=tuple(options.get("rcpt_options", ())),
    )


def _as_claim(
    row: ResultRow[Any], kept_states: Mapping[str, str], content: bytes
) -> Claim:
    states = {address: State(state) for address, state in kept_states.items()}
    waiting = [one for one, state in states.items() if state is State.PENDING]
    if not waiting:
        raise LookupError("nobody is there who is still to get it")
    return Claim(
        id=row.id,
        owner=row.lease_owner,
        token=row.lease_token,
        attempt=row.attempts + 1,
        crashes=row.crashes,
        lane=row.lane,
        envelope=envelope(row, waiting),
        content=bytes(content),
        give_up_at=float(row.give_up_at),
        settled=frozenset(states.values()) - {State.PENDING},
        tag=row.tag,
        template=row.template,
        batch=row.batch,
    )


HELD = and_(
    message.c.id == bindparam("b_id"),
    message.c.lease_owner == bindparam("b_owner"),
    message.c.lease_token == bindparam("b_token"),
    message.c.state == LEASED,
)
"""That the lease of a claim (`fence`) still holds."""

_begin = Hot(update(message).where(HELD).values(begun=ONE))

_end = Hot(
    update(message)
    .where(HELD)
    .values(
        state=bindparam("b_state"),
        due_at=func.coalesce(bindparam("b_due_at"), message.c.due_at),
        attempts=bindparam("b_attempts"),
        crashes=bindparam("b_crashes"),
        finished_at=bindparam("b_finished_at"),
        lease_owner=null(),
        begun=ZERO,
    )
)

_tell_begun = Hot(
    event.insert().from_select(
        ["message_id", "at", "kind", "detail"],
        select(
            message.c.id,
            bindparam("b_at", type_=Double),
            literal_column("'began'"),
            bindparam("b_detail", type_=Text),
        ).where(HELD),
    )
)


def begun(held: Claim, at: float) -> Row:
    """The event that an attempt began, to be told only while the lease holds."""
    detail = {"attempt": held.attempt, "courier": held.owner, "lane": held.lane}
    if held.instead_of is not None:
        detail["instead_of"] = held.instead_of
    return {**fence(held), "b_at": at, "b_detail": as_json(detail)}


def begin(connection: Connection, held: Claim) -> bool:
    """Write down that an attempt begins; False when the lease was lost.

    Only careful attempts are: a message that may have killed a courier, and every
    message where *unknown* must be held.
    """
    return _begin.run(connection, fence(held)) == 1


def record(
    connection: Connection,
    records: Iterable[Record],
    notes: Sequence[Row] = (),
    begun: Sequence[Row] = (),
) -> list[Claim]:
    """Record each attempt whose lease still holds; return the claims that were lost.

    ``notes`` and ``begun`` are events that change no state; the latter, too, are told
    only while their lease holds.
    """
    _tell_begun.run_many(connection, begun)
    lost = []
    answers: list[Row] = []
    told: list[Row] = []
    for one in records:
        if _end.run(connection, _ended(one)) == 1:
            answers += _answers(one)
            told.append(event_row(one.claim.id, one.at, one.kind, **one.detail))
        else:
            lost.append(one.claim)
    answer.run_many(connection, answers)
    add_events.run_many(connection, told)
    add_notes.run_many(connection, notes)
    return lost


def write_nothing(connection: Connection) -> None:
    """Ask the database to write as `record` does, without changing anything."""
    connection.execute(_NOTHING)


_NOTHING = delete(event).where(event.c.id < ZERO)


def fence(held: Claim) -> dict[str, Any]:
    """What `HELD` compares with."""
    return {"b_id": held.id, "b_owner": held.owner, "b_token": held.token}


def _ended(one: Record) -> Row:
    attempted = one.verdict.attempted
    return {
        **fence(one.claim),
        "b_state": one.verdict.state.value,
        "b_due_at": one.verdict.due_at,
        "b_attempts": one.claim.attempt if attempted else one.claim.attempt - 1,
        "b_crashes": 0 if attempted else one.claim.crashes,
        "b_finished_at": one.at if one.verdict.state.final else None,
    }


def _answers(one: Record) -> list[Row]:
    return [
        answer_row(one.claim.id, address, state, reply, one.at)
        for address, (state, reply) in one.verdict.recipients.items()
    ]
