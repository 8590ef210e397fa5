"""Claims: lease due messages to a courier, and record attempts while the lease holds.

`claim` leaves out messages that are too large for the courier's free memory, messages
of a stopped batch, recipients who must not be mailed, and messages whose rows cannot be
read. `record` and `store_renditions` write only if the lease (owner and fencing token)
still holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    null,
    select,
    update,
)

from ..delivery import Envelope, Reply, State, Verdict, state_of
from ..errors import KeyMissing, StoreError
from ..events import EventKind
from ..message.text import SENSITIVE_SUBJECT
from ..recipient_guard import Guard
from ..trace_context import TraceContext
from . import suppressions
from .attachments import Remainder, attach, reassemble, split
from .batches import skip_stopped_batches
from .due import Due, lock_due, lock_due_among
from .encryption import Keyring, key_of
from .enqueue import add_events, add_notes, event_row, suppressed_row
from .read import origin_of
from .records import Claim, Sensitivity
from .schema import (
    LEASED,
    ONE,
    ZERO,
    attached,
    content,
    event,
    message,
    provider_id,
    recipient,
)
from .sealed import keys_of, seal
from .sensitive import is_over, remove_contents
from .statements import (
    PreparedStatement,
    Row,
    RowsInsert,
    RowsQuery,
    RowsUpdate,
    pipelined,
    run_together,
)
from .states import RowsTransition, transition
from .suppressions import Found


@dataclass(slots=True)
class Load:
    """How much memory a claim may use; afterwards, what was too large for it."""

    room_bytes: int
    alone: bool
    """Whether the first message may have any size, because none is in memory."""
    left_bytes: int = 0
    """The size of the first message that was left for lack of memory; 0 if none was."""


def fitting(due: Sequence[Due], load: Load) -> Sequence[Due]:
    """The first of ``due`` for which there is room. None overtakes a large message."""
    room_bytes = load.room_bytes
    for place, one in enumerate(due):
        room_bytes -= one.size_bytes
        if room_bytes < 0 and not (load.alone and place == 0):
            load.left_bytes = one.size_bytes
            return due[:place]
    return due


write_replies: RowsUpdate = RowsUpdate(
    recipient,
    keys=("message_id", "address"),
    values=("state", "reply_code", "reply_enhanced", "reply_text", "replied_at"),
)
"""Records the states and the last replies of recipients."""


def reply_row(
    message_id: str, address: str, state: State, reply: Reply, at: float
) -> Row:
    """One recipient's reply, as a row of `write_replies`."""
    return {
        "message_id": message_id,
        "address": address,
        "state": state.value,
        "reply_code": reply.code,
        "reply_enhanced": reply.enhanced,
        "reply_text": reply.text,
        "replied_at": at,
    }


PROVIDER_ID_LENGTH = 255
"""The longest id of a provider by which its reports can be matched."""

SETTLED = [one.value for one in State if one.final]


def unreadable_claim(message_id: str, owner: str, lane: str, why: str) -> Claim:
    """The claim of a message whose rows cannot be read."""
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
        unreadable=f"its stored content cannot be read: {why}",
    )


KEY_WAIT_SECONDS = 300.0
"""How long a message waits before its missing key is looked for again."""


def _locked_claim(message_id: str, owner: str, lane: str, why: KeyMissing) -> Claim:
    """The claim of a message that is encrypted with a key that is missing."""
    unreadable = unreadable_claim(message_id, owner, lane, "")
    return replace(unreadable, unreadable=None, key_missing=str(why))


def wait_for_keys(connection: Connection, locked: Sequence[Claim], now: float) -> None:
    """Return these messages untried, to wait for their keys."""
    if not locked:
        return
    connection.execute(
        transition(
            {State.LEASED},
            State.PENDING,
            due_at=now + KEY_WAIT_SECONDS,
            lease_owner=None,
            begun=0,
        ).where(message.c.id.in_([one.id for one in locked]))
    )
    add_events.run_many(
        connection,
        [
            event_row(one.id, now, EventKind.RETURNED, reason=one.key_missing)
            for one in locked
        ],
    )


def fail_unreadable(connection: Connection, lost: Sequence[Claim], now: float) -> None:
    """Fail these messages for all recipients who have not got them."""
    for one in lost:
        reason = Reply.observed(one.unreadable or "").text
        connection.execute(
            transition(
                {State.LEASED},
                State.FAILED,
                finished_at=now,
                lease_owner=None,
                begun=0,
            ).where(message.c.id == one.id)
        )
        connection.execute(
            update(recipient)
            .where(recipient.c.message_id == one.id, recipient.c.state.not_in(SETTLED))
            .values(
                state=State.FAILED.value,
                replied_at=now,
                **seal(connection, recipient, one.id, {"reply_text": reason}),
            )
        )
        event = event_row(one.id, now, EventKind.FAILED, reason=reason, replies={})
        add_events.run(connection, event)
    remove_contents(connection, [one.id for one in lost])


def drop_suppressed(
    connection: Connection, claims: Sequence[Claim], now: float, guard: Guard
) -> list[Claim]:
    """The claims, without the recipients who must not be mailed.

    Those are recorded as suppressed. If a message has no other recipients, it is
    finished and its claim has no recipients.
    """
    everyone = (one for claimed in claims for one in claimed.envelope.recipients)
    found = suppressions.find(connection, everyone, guard.erased)
    return [
        _drop_suppressed(connection, claimed, found, now, guard) for claimed in claims
    ]


def _drop_suppressed(
    connection: Connection, claimed: Claim, found: Found, now: float, guard: Guard
) -> Claim:
    recipients = claimed.envelope.recipients
    barred = suppressions.barred(found, recipients, claimed.tag, guard)
    if not barred:
        return claimed
    left = tuple(one for one in recipients if one not in barred)
    settled = claimed.settled | {State.SUPPRESSED}
    _write(connection, claimed.id, barred, now, finished=not left)
    if not left:
        state = state_of(settled)
        finished = {
            "id": claimed.id,
            "state": state.value,
            "finished_at": now,
            "lease_owner": None,
            "begun": 0,
        }
        _finish.run(connection, [finished])
        if claimed.hidden and is_over(state):
            remove_contents(connection, [claimed.id])
    return replace(
        claimed,
        envelope=replace(claimed.envelope, recipients=left),
        settled=settled,
        suppressed={address: str(reply) for address, reply in barred.items()},
    )


def _write(
    connection: Connection,
    message_id: str,
    barred: dict[str, Reply],
    now: float,
    *,
    finished: bool,
) -> None:
    write_replies.run(
        connection,
        [
            reply_row(message_id, address, State.SUPPRESSED, reply, now)
            for address, reply in barred.items()
        ],
    )
    add_events.run(connection, suppressed_row(message_id, now, barred, finished))


_finish = RowsTransition(State.LEASED, ("finished_at", "lease_owner", "begun"))


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """The end of one attempt, to be recorded if the lease of its claim still holds."""

    claim: Claim
    verdict: Verdict
    at: float
    kind: EventKind | None
    """None for a message that was claimed ahead and never begun: it adds no event."""
    detail: Mapping[str, Any]
    provider: str = ""
    """The scheme of the transport that took it."""
    provider_ids: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The ids that it gave the message, by the recipients for whom it took it."""


def claim(
    connection: Connection,
    owner: str,
    lane: str,
    limit: int,
    now: float,
    guard: Guard,
    traced: bool,
    among: Sequence[str] | None = None,
    room: Mapping[str, int] | None = None,
    load: Load | None = None,
    above: int | None = None,
) -> list[Claim]:
    """Lease up to ``limit`` due messages of ``lane``: highest priority, then oldest.

    If they are ``traced``, the claims have the spans that handed the messages over.
    ``among`` restricts them to these ids, and ``above`` to higher priorities. ``room``
    limits how many come from a queue, and ``load`` how many bytes; it then records what
    was too large. Messages of a stopped batch are left out, and others claimed instead.
    A claim without recipients is of a message that is finished already: all its
    recipients are barred, or its rows cannot be read.
    """
    if load is not None:
        load.left_bytes = 0
    while due := _lock_due(connection, lane, limit, now, room or {}, among, above):
        if load is not None:
            due = fitting(due, load)
            if not due:
                break
        readable, unreadable = _lease_and_read(connection, due, owner, lane)
        fail_unreadable(connection, [one for one in unreadable if one.unreadable], now)
        wait_for_keys(connection, [one for one in unreadable if one.key_missing], now)
        claims = skip_stopped_batches(connection, readable, now)
        if claims or unreadable:
            claims = drop_suppressed(connection, claims, now, guard) + unreadable
            return _with_traces(connection, claims) if traced else claims
    return []


def _lock_due(
    connection: Connection,
    lane: str,
    limit: int,
    now: float,
    room: Mapping[str, int],
    among: Sequence[str] | None,
    above: int | None,
) -> Sequence[Due]:
    if among is None:
        return lock_due(connection, lane, limit, now, room, above)
    return lock_due_among(connection, lane, limit, now, room, among)


_lease = RowsTransition(State.PENDING, ("lease_owner", "lease_token"))


def _leased(due: Due, owner: str) -> Row:
    return {
        "id": due.id,
        "state": State.LEASED.value,
        "lease_owner": owner,
        "lease_token": due.lease_token + 1,
    }


class ClaimedRow(NamedTuple):
    """What a claim reads of a message."""

    id: str
    lease_owner: str
    lease_token: int
    attempts: int
    crashes: int
    lane: str
    tag: str | None
    priority: int
    batch: str | None
    return_path: str
    give_up_at: float
    sensitive: int | None
    body: bytes
    attached: int
    template: str | None
    envelope: str | None


_CLAIMED = RowsQuery(
    select(
        *message.c["id", "lease_owner", "lease_token", "attempts", "crashes", "lane"],
        *message.c["tag", "priority", "batch", "return_path", "give_up_at"],
        message.c.sensitive,
        *content.c["body", "attached", "template", "envelope"],
    )
    .join(content, content.c.message_id == message.c.id)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
)

_RECIPIENTS = RowsQuery(
    select(*recipient.c["message_id", "address", "state"])
    .where(recipient.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(recipient.c.message_id, recipient.c.position)
)


def _lease_and_read(
    connection: Connection, due: Sequence[Due], owner: str, lane: str
) -> tuple[list[Claim], list[Claim]]:
    """The claims of messages that can be read, and of those that cannot."""
    ids = [one.id for one in due]
    with pipelined(connection):
        _lease.run(connection, [_leased(one, owner) for one in due])
        recipients = _RECIPIENTS.run_sealed(connection, ids)
        rows = _CLAIMED.run_sealed(connection, ids)
    states: dict[str, dict[str, str]] = {one: {} for one in ids}
    keys = keys_of(connection)
    sealed: dict[str, StoreError] = {}
    for message_id, address, state in _opened(keys, _RECIPIENTS, recipients, sealed):
        states[message_id][address] = state
    opened = map(ClaimedRow._make, _opened(keys, _CLAIMED, rows, sealed))
    found = {row.id: row for row in opened}
    apart = {one: row for one, row in found.items() if row.attached}
    whole = reassemble(
        connection,
        {one: Remainder(row.body, row.attached) for one, row in apart.items()},
    )
    readable, unreadable = [], []
    for one in ids:
        try:
            if one in sealed:
                raise sealed[one]
            row = _present(found.get(one), "its content is missing")
            if keys is None and (key := key_of(row.body)) is not None:
                raise KeyMissing(key, f"The body of message {one}")
            kept = whole.get(one) if one in apart else row.body
            if isinstance(kept, StoreError):
                raise kept
            content = _present(kept, "an attachment is missing")
            readable.append(_as_claim(row, states[one], content))
        except KeyMissing as error:
            unreadable.append(_locked_claim(one, owner, lane, error))
        except Exception as error:  # any error concerns this message alone
            unreadable.append(unreadable_claim(one, owner, lane, _words(error)))
    return readable, unreadable


def _opened(
    keys: Keyring | None,
    asked: RowsQuery,
    rows: Iterable[Sequence[Any]],
    sealed: dict[str, StoreError],
) -> Iterator[Sequence[Any]]:
    """The rows decrypted; why those of a message cannot be goes into ``sealed``."""
    if keys is None:
        yield from rows
        return
    for row in rows:
        try:
            yield asked.open(keys, row)
        except StoreError as error:
            sealed[row[0]] = error


_ORIGINS = RowsQuery(
    select(*message.c["id", "origin"]).where(
        message.c.id.in_(bindparam("ids", expanding=True))
    )
)


def _with_traces(connection: Connection, claims: Sequence[Claim]) -> list[Claim]:
    """The claims, with the spans that handed their messages over."""
    keys = keys_of(connection)
    rows = _ORIGINS.run_sealed(connection, [one.id for one in claims])
    traces = {row[0]: _trace_of(keys, row) for row in rows}
    return [replace(one, trace=traces.get(one.id)) for one in claims]


def _trace_of(keys: Keyring | None, row: Sequence[Any]) -> TraceContext | None:
    try:
        _, origin = _ORIGINS.open(keys, row)
        return origin_of(origin)[1]
    except Exception:  # the message can be delivered all the same
        return None


def _present(value: T | None, otherwise: str) -> T:
    if value is None:
        raise LookupError(otherwise)
    return value


def _words(error: Exception) -> str:
    known = isinstance(error, LookupError | StoreError)
    return str(error) if known else repr(error)


class EnvelopeRow(Protocol):
    """What the tables hold of an envelope beside its recipients."""

    @property
    def return_path(self) -> str:
        """Where reports go."""

    @property
    def envelope(self) -> str | None:
        """The rest, as JSON."""


def envelope(
    row: EnvelopeRow,
    recipients: Iterable[str],
    message_id: str | None = None,
    attempt: int = 1,
) -> Envelope:
    """The envelope stored in ``row``, with these ``recipients``."""
    options = json.loads(row.envelope) if row.envelope else {}
    return Envelope(
        return_path=row.return_path,
        recipients=tuple(recipients),
        utf8_headers=options.get("utf8_headers", False),
        mail_options=tuple(options.get("mail_options", ())),
        rcpt_options=tuple(options.get("rcpt_options", ())),
        message_id=message_id,
        attempt=attempt,
    )


def _as_claim(row: ClaimedRow, kept_states: Mapping[str, str], content: bytes) -> Claim:
    states = {address: State(state) for address, state in kept_states.items()}
    waiting = [one for one, state in states.items() if state is State.PENDING]
    if not waiting:
        raise LookupError("none of its recipients is pending")
    return Claim(
        id=row.id,
        owner=row.lease_owner,
        token=row.lease_token,
        attempt=row.attempts + 1,
        crashes=row.crashes,
        lane=row.lane,
        envelope=envelope(row, waiting, row.id, row.attempts + 1),
        content=bytes(content),
        give_up_at=float(row.give_up_at),
        settled=frozenset(states.values()) - {State.PENDING},
        tag=row.tag,
        priority=row.priority,
        template=row.template,
        batch=row.batch,
        hidden=row.sensitive == Sensitivity.HIDDEN,
    )


_LEASED = RowsQuery(
    select(*message.c["id", "lease_owner", "lease_token", "due_at"])
    .where(
        message.c.id.in_(bindparam("ids", expanding=True)), message.c.state == LEASED
    )
    .order_by(message.c.id)
    .with_for_update()
)


def _lock_held(
    connection: Connection, claims: Iterable[Claim]
) -> dict[tuple[str, str, int], float]:
    """Lock the messages whose leases hold; their fences, and when they were due."""
    ids = list({one.id for one in claims})
    return {
        (message_id, owner, token): due_at
        for message_id, owner, token, due_at in _LEASED.run(connection, ids)
    }


_ends = RowsTransition(
    State.LEASED,
    ("due_at", "attempts", "crashes", "finished_at", "lease_owner", "begun"),
)


@dataclass(frozen=True, slots=True)
class Began:
    """The beginning of an attempt, recorded if the lease of its claim still holds."""

    claim: Claim
    at: float

    @property
    def event(self) -> Row:
        """The event for an attempt that goes on."""
        attempt = {"attempt": self.claim.attempt}
        return event_row(
            self.claim.id, self.at, EventKind.BEGAN, **attempt, **self._where
        )

    @property
    def detail(self) -> dict[str, Any]:
        """What the event of the attempt's end says of its beginning."""
        return {"began": {"at": self.at, **self._where}}

    @property
    def _where(self) -> dict[str, str]:
        where = {"courier": self.claim.owner, "lane": self.claim.lane}
        if self.claim.instead_of is not None:
            where["instead_of"] = self.claim.instead_of
        return where


_begin = PreparedStatement(
    update(message)
    .where(
        message.c.id == bindparam("b_id"),
        message.c.lease_owner == bindparam("b_owner"),
        message.c.lease_token == bindparam("b_token"),
        message.c.state == LEASED,
    )
    .values(begun=ONE)
)


def begin(connection: Connection, claimed: Claim) -> bool:
    """Record durably that an attempt begins; False if the lease was lost.

    Only careful attempts need this: those of a message that may have killed a courier,
    and all attempts if *unknown* messages are put on hold.
    """
    fence = {"b_id": claimed.id, "b_owner": claimed.owner, "b_token": claimed.token}
    return _begin.run(connection, fence) == 1


def record(
    connection: Connection,
    records: Sequence[Record],
    notes: Sequence[Row] = (),
    begun: Sequence[Began] = (),
) -> list[Claim]:
    """Record each attempt whose lease still holds; return the claims that were lost.

    ``notes`` are events that change no state. Where an attempt in ``begun`` has ended
    too, one event says both.
    """
    claims = [one.claim for one in records] + [one.claim for one in begun]
    held = _lock_held(connection, claims)
    began = {fence: one for one in begun if (fence := _fence(one.claim)) in held}
    ends: list[Row] = []
    replies: list[Row] = []
    events: list[Row] = []
    given: list[tuple[str, str, str, str]] = []
    over: list[str] = []
    lost = []
    for one in records:
        fence = _fence(one.claim)
        due_at = held.pop(fence, None)
        if due_at is None:
            lost.append(one.claim)
            continue
        ends.append(_ended(one, due_at))
        for address, (state, reply) in one.verdict.recipients.items():
            replies.append(reply_row(one.claim.id, address, state, reply, one.at))
        if one.kind is not None:
            events.append(_end_event(one, one.kind, began.pop(fence, None)))
        if one.provider_ids:
            given += _given_rows(one)
        if one.claim.hidden and is_over(one.verdict.state):
            over.append(one.claim.id)
    with pipelined(connection):
        _ends.run(connection, ends)
        write_replies.run(connection, replies)
        add_events.run_many(
            connection, [*(one.event for one in began.values()), *events]
        )
        add_notes.run_many(connection, notes)
    if given:
        run_together(connection, _add_given.statements(connection, given))
    remove_contents(connection, over)
    return lost


_add_given = RowsInsert(
    provider_id,
    *("message_id", "address", "provider", "provider_id"),
    skip_present=True,
)


def _given_rows(one: Record) -> list[tuple[str, str, str, str]]:
    """The provider's ids, but for those that no report could name."""
    return [
        (one.claim.id, address, one.provider, given)
        for address, given in one.provider_ids.items()
        if len(given) <= PROVIDER_ID_LENGTH and given.isprintable()
    ]


def _end_event(one: Record, kind: EventKind, began: Began | None) -> Row:
    beginning = began.detail if began else {}
    return event_row(one.claim.id, one.at, kind, **one.detail, **beginning)


def check_writable(connection: Connection) -> None:
    """Make the database write as `record` does, without changing anything."""
    connection.execute(_DELETE_NOTHING)


_DELETE_NOTHING = delete(event).where(event.c.id < ZERO)


def _fence(claimed: Claim) -> tuple[str, str, int]:
    return claimed.id, claimed.owner, claimed.token


def _ended(one: Record, due_at: float) -> Row:
    verdict, claimed = one.verdict, one.claim
    return {
        "id": claimed.id,
        "state": verdict.state.value,
        "due_at": _next_due_at(one, due_at),
        "attempts": claimed.attempt if verdict.attempted else claimed.attempt - 1,
        "crashes": 0 if verdict.attempted else claimed.crashes,
        "finished_at": one.at if verdict.state.final else None,
        "lease_owner": None,
        "begun": 0,
    }


def _next_due_at(one: Record, due_at: float) -> float:
    """When it is due again; else as before, or for an *unknown* message that is not
    resent, its time to give up.
    """
    verdict = one.verdict
    if verdict.due_at is not None:
        return verdict.due_at
    return one.claim.give_up_at if verdict.state is State.UNKNOWN else due_at


@dataclass(frozen=True, slots=True)
class Rendition:
    """The content rendered from a claimed message's template; all attempts send it."""

    claim: Claim
    subject: str
    content: bytes
    template: str
    version: str
    """A short hash of the template's sources."""
    at: float
    seconds: float
    """How many seconds rendering took."""


_describe = RowsUpdate(message, keys=("id",), values=("subject", "size_bytes"))

_store_body = PreparedStatement(
    update(content)
    .where(content.c.message_id == bindparam("b_id"))
    .values(body=bindparam("b_body"), attached=bindparam("b_attached"), template=null())
)

_detach = PreparedStatement(
    delete(attached).where(attached.c.message_id == bindparam("b_id"))
)


def store_renditions(
    connection: Connection, renditions: Sequence[Rendition]
) -> list[Claim]:
    """Store each rendition whose lease still holds, in place of its template.

    Returns the claims that were lost.
    """
    held = _lock_held(connection, [one.claim for one in renditions])
    stored = [one for one in renditions if _fence(one.claim) in held]
    _describe.run(connection, [_described(one) for one in stored])
    _store_contents(connection, stored)
    add_events.run_many(connection, [_rendered_event(one) for one in stored])
    return [one.claim for one in renditions if _fence(one.claim) not in held]


def _described(one: Rendition) -> Row:
    subject = SENSITIVE_SUBJECT if one.claim.hidden else one.subject
    size_bytes = len(one.content)
    return {"id": one.claim.id, "subject": subject, "size_bytes": size_bytes}


def _store_contents(connection: Connection, renditions: Sequence[Rendition]) -> None:
    cuts = {
        one.claim.id: (one.content, []) if one.claim.hidden else split(one.content)
        for one in renditions
    }
    bodies = [
        {
            "b_id": message_id,
            "b_body": seal(connection, content, message_id, {"body": body})["body"],
            "b_attached": len(parts),
        }
        for message_id, (body, parts) in cuts.items()
    ]
    had_attachments = [
        {"b_id": one.claim.id} for one in renditions if one.claim.content
    ]
    run_together(
        connection,
        _store_body.statements(connection, bodies)
        + _detach.statements(connection, had_attachments),
    )
    attach(connection, {one: parts for one, (_, parts) in cuts.items()})


def _rendered_event(one: Rendition) -> Row:
    return event_row(
        one.claim.id,
        one.at,
        EventKind.RENDERED,
        template=one.template,
        version=one.version,
        seconds=one.seconds,
    )
