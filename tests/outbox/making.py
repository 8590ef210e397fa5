"""Messages, claims and results for tests of the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_outbox.delivery import Envelope, Reply, State, Verdict
from flask_outbox.events import EventKind, attempt_end
from flask_outbox.outbox import Outbox, Record, new_id
from flask_outbox.outbox.enqueue import event_row
from flask_outbox.outbox.records import Claim, NewMessage
from flask_outbox.outbox.statements import Row

SENDER = "sender@example.org"
ADA = "ada@example.org"
BOB = "bob@example.org"
CY = "cy@example.org"

COURIER = "01COURIER00000000000000000"
OTHER_COURIER = "01OTHERCOURIER000000000000"
LEASE_SECONDS = 20.0
PATIENCE_SECONDS = 86_400.0

RETRY_SECONDS = 500.0
"""How long a message is tried after a person retried it."""

KEPT = Reply(250, "2.0.0", "kept")
LATER = Reply(451, "4.3.0", "later")
NEVER = Reply(550, "5.1.1", "no such user")
LOST = Reply.observed("the connection was lost after the final dot")

Answers = Mapping[str, tuple[State, Reply]]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.123457

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def new_message(now: float, *recipients: str, **changes: Any) -> NewMessage:
    """A message as `send` makes it; by default due now and to Ada."""
    message_id = new_id()
    given: dict[str, Any] = {
        "id": message_id,
        "envelope": Envelope(SENDER, recipients or (ADA,)),
        "rfc_message_id": f"<{message_id}@example.org>",
        "subject": "Hello",
        "content": b"Subject: Hello\r\n\r\nHello\r\n",
        "enqueued_at": now,
        "due_at": now,
        "give_up_at": now + PATIENCE_SECONDS,
    }
    return NewMessage(**{**given, **changes})


def put(
    outbox: Outbox, *recipients: str, owner: str | None = None, **changes: Any
) -> str:
    """Enqueue one message, leased to ``owner`` if given; its id."""
    new = new_message(outbox.clock(), *recipients, **changes)
    (receipt,) = outbox.enqueue([new], owner)
    return receipt.id


def claim_one(outbox: Outbox, owner: str = COURIER) -> Claim:
    """Claim the one message that is due."""
    (held,) = outbox.claim(owner, "default", 10)
    return held


def enlist(outbox: Outbox, courier: str = COURIER) -> str:
    """Register a courier of this process."""
    outbox.register(courier, "thread", LEASE_SECONDS)
    return courier


def began(held: Claim, at: float) -> Row:
    """The note that an attempt began."""
    return event_row(
        held.id,
        at,
        EventKind.BEGAN,
        attempt=held.attempt,
        courier=held.owner,
        lane=held.lane,
    )


def ended(
    held: Claim,
    at: float,
    state: State,
    answers: Answers,
    *,
    due_at: float | None = None,
    reason: str | None = None,
) -> Record:
    """The record of an attempt that left the message in ``state``."""
    kind = attempt_end(state, attempted=True)
    detail: dict[str, Any] = {
        "attempt": held.attempt,
        "seconds": 0.5,
        "replies": {address: str(reply) for address, (_, reply) in answers.items()},
    }
    if due_at is not None:
        detail["due_at"] = due_at
    if reason is not None:
        detail["reason"] = reason
    verdict = Verdict(state, answers, due_at, reason=reason)
    return Record(held, verdict, at, kind, detail)


def same(held: Claim, state: State, reply: Reply) -> Answers:
    """One reply for every pending recipient."""
    return dict.fromkeys(held.envelope.recipients, (state, reply))


def sent(held: Claim, at: float) -> Record:
    return ended(held, at, State.SENT, same(held, State.SENT, KEPT))


def deferred(held: Claim, at: float, due_at: float) -> Record:
    answers = same(held, State.PENDING, LATER)
    return ended(held, at, State.PENDING, answers, due_at=due_at)


def failed(held: Claim, at: float) -> Record:
    return ended(held, at, State.FAILED, same(held, State.FAILED, NEVER))


def unknown(held: Claim, at: float, due_at: float | None = None) -> Record:
    answers = same(held, State.UNKNOWN, LOST)
    return ended(held, at, State.UNKNOWN, answers, due_at=due_at)


def returned(held: Claim, at: float, reason: str = "lane default is paused") -> Record:
    """The record of a message that is returned untried."""
    verdict = Verdict(State.PENDING, {}, attempted=False, reason=reason)
    detail = {"attempt": held.attempt, "reason": reason, "replies": {}}
    return Record(held, verdict, at, EventKind.RETURNED, detail)


def states(outbox: Outbox, message_id: str) -> dict[str, State]:
    """The state of each recipient of a message."""
    return {one.address: one.state for one in outbox.get(message_id).recipients}


def kinds(outbox: Outbox, message_id: str) -> list[str]:
    """The kinds of a message's events, in order."""
    return [event.kind for event in outbox.get(message_id).events]


def content_of(message_id: str) -> bytes:
    """Content that only one message has."""
    return f"Subject: {message_id}\r\n\r\n".encode()
