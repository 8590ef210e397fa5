"""What became of a message: states and their legal transitions, replies, reports."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from .errors import TransitionRefused


class State(StrEnum):
    """Where a message, or one recipient of it, stands.

    *Sent* means that the next hop accepted it. *Unknown* means that the link was lost
    after the final dot, so that nobody can know. *Paused* is a message, never a
    recipient, whose batch a person paused; *moving* one that is on its way to another
    outbox.
    """

    PENDING = "pending"
    LEASED = "leased"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    PAUSED = "paused"
    MOVING = "moving"

    @property
    def final(self) -> bool:
        """Whether couriers are done with it; a person may still retry it."""
        return self not in (State.PENDING, State.LEASED, State.PAUSED, State.MOVING)


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.PENDING: frozenset(
            {
                State.LEASED,
                State.CANCELLED,
                State.SUPPRESSED,
                State.FAILED,
                State.PAUSED,
            }
        ),
        State.LEASED: frozenset(
            {
                State.PENDING,
                State.SENT,
                State.FAILED,
                State.UNKNOWN,
                State.SUPPRESSED,
            }
        ),
        State.SENT: frozenset(),
        State.FAILED: frozenset({State.PENDING}),
        State.UNKNOWN: frozenset({State.PENDING, State.CANCELLED, State.SENT}),
        State.CANCELLED: frozenset({State.PENDING}),
        State.SUPPRESSED: frozenset({State.PENDING}),
        State.PAUSED: frozenset({State.PENDING, State.CANCELLED}),
        State.MOVING: frozenset(),
    }
)
"""Which state may follow which, for messages and recipients alike. Any but a leased
message may also be *moving*, and is what it was once it has arrived or stayed."""


def check_transition(message_id: str, present: State, wanted: State) -> None:
    """Return if ``wanted`` may follow ``present``, else raise `TransitionRefused`."""
    if wanted not in TRANSITIONS[present]:
        raise TransitionRefused(
            f"Message {message_id} is {present}: it cannot become {wanted}."
        )


_PRECEDENCE = (
    State.PENDING, State.UNKNOWN, State.FAILED, State.SENT, State.SUPPRESSED,
)  # fmt: skip


def state_of(recipients: Collection[State]) -> State:
    """The state of a message after an attempt, by the states of its recipients.

    What anyone waits for comes first, then what went wrong for anyone; it is *sent*
    when it was for all who may be mailed, and *suppressed* when nobody may.
    """
    return next((one for one in _PRECEDENCE if one in recipients), State.FAILED)


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said: code, enhanced status code (RFC 3463), text.

    A reply without a code is our own observation ("connection lost before the final
    dot"), kept in the same place so that there is one place to look.
    """

    code: int | None
    enhanced: str | None
    text: str

    @classmethod
    def parse(cls, code: int, text: str) -> Reply:
        """Split the enhanced status code from the text, where there is one."""
        text = storable(text)
        found = _ENHANCED.match(text)
        if not found:
            return cls(code, None, text)
        return cls(code, found[1], text[found.end() :])

    @classmethod
    def observed(cls, text: str) -> Reply:
        """What we saw ourselves, without a server's word."""
        return cls(None, None, storable(text))

    def __str__(self) -> str:
        parts = [str(self.code)] if self.code else []
        if self.enhanced:
            parts.append(self.enhanced)
        if self.text:
            parts.append(self.text)
        return " ".join(parts)


REPLY_LENGTH = 2_000
"""Longer texts are cut: nobody has more to say, and each is kept more than once."""


def storable(text: str) -> str:
    """The text in a form that every database takes and no terminal obeys."""
    if len(text) > REPLY_LENGTH:
        text = f"{text[:REPLY_LENGTH]} …"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


KEPT_HERE = Reply.observed("kept in the dev inbox: nothing left this machine")
"""What the dev inbox answers for a message that it keeps."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Return path and recipients: what the transport needs beside the content.

    Domains are in their ASCII form (IDNA 2008); a local part may be non-ASCII, which
    takes a server with SMTPUTF8 (RFC 6531). ``utf8_headers`` says that the content
    itself holds such an address, so that every recipient's server must offer it.
    """

    return_path: str
    recipients: tuple[str, ...]
    utf8_headers: bool = False
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()


class Outcome(StrEnum):
    """What one attempt came to for one recipient."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    """Left out, because that address must not be mailed."""


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """One recipient's outcome, and the reply that decided it."""

    outcome: Outcome
    reply: Reply


@dataclass(frozen=True, slots=True)
class Report:
    """What one attempt came to, recipient by recipient."""

    recipients: Mapping[str, RecipientReport]

    @classmethod
    def same(
        cls, recipients: tuple[str, ...], outcome: Outcome, reply: Reply
    ) -> Report:
        """The report of an attempt that ended alike for everyone."""
        return cls(dict.fromkeys(recipients, RecipientReport(outcome, reply)))

    @property
    def accepted(self) -> bool:
        """Whether the next hop accepted the message for every recipient."""
        return all(one.outcome is Outcome.ACCEPTED for one in self.recipients.values())


class Line(NamedTuple):
    """One line of a dialogue: when (epoch seconds), who spoke, what was said."""

    at: float
    speaker: str
    text: str


@dataclass(slots=True)
class Progress:
    """How far a transport has come with one message, visible while it works.

    ``final_dot_sent`` turns true before the first byte leaves that could complete the
    content: from then on a lost link means *unknown*. ``lines`` is the dialogue
    without secrets and without the content. ``lease_holds()`` says whether the message
    is still ours to send: a transport asks before the first byte leaves, and before the
    final dot.
    """

    final_dot_sent: bool = False
    lines: list[Line] = field(default_factory=list)
    lease_holds: Callable[[], bool] = lambda: True

    def note(self, speaker: str, text: str) -> None:
        """Add what ``speaker`` ("us" or "them") said now."""
        self.lines.append(Line(time.time(), speaker, text))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be recorded after an attempt: the classified report.

    ``recipients`` holds the next state and last reply of each recipient that the
    attempt was for. ``due_at`` is when the message is looked at again: the next attempt
    when *pending*, the resending when *unknown*, else None.
    """

    state: State
    recipients: Mapping[str, tuple[State, Reply]]
    due_at: float | None = None
    attempted: bool = True
    """Whether the message spent an attempt; trouble of the transport spends none."""
    reason: str | None = None
    """Why, where no recipient's reply says it."""
