"""States, replies and reports of deliveries."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum


class State(StrEnum):
    """The state of a message, or of one recipient of it.

    *Sent*: the next hop accepted it. *Unknown*: the connection was lost after the final
    dot, so whether it was accepted cannot be known. *Paused*: a person paused its
    batch; never the state of a recipient. *Moving*: it is on its way to another outbox.
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
        """Whether couriers are finished with it; a person may still retry it."""
        return self not in (State.PENDING, State.LEASED, State.PAUSED, State.MOVING)


_PRECEDENCE = (
    State.PENDING, State.UNKNOWN, State.FAILED, State.SENT, State.SUPPRESSED,
)  # fmt: skip


def state_of(recipients: Collection[State]) -> State:
    """The state of a message after an attempt, from the states of its recipients.

    *Pending* for any recipient comes first, then *unknown*, then *failed*. It is *sent*
    if all who may be mailed got it, and *suppressed* if nobody may be mailed.
    """
    for one in _PRECEDENCE:
        if one in recipients:
            return one
    return State.FAILED


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply: code, enhanced status code (RFC 3463), text.

    A reply without a code is our own observation, such as "connection lost before the
    final dot".
    """

    code: int | None
    enhanced: str | None
    text: str

    @classmethod
    def parse(cls, code: int, text: str) -> Reply:
        """Make a reply, with the enhanced status code split from the text if there is
        one.
        """
        text = storable(text)
        found = _ENHANCED.match(text)
        if not found:
            return cls(code, None, text)
        return cls(code, found[1], text[found.end() :])

    @classmethod
    def observed(cls, text: str) -> Reply:
        """Make a reply from our own observation."""
        return cls(None, None, storable(text))

    def __str__(self) -> str:
        parts = [str(self.code)] if self.code else []
        if self.enhanced:
            parts.append(self.enhanced)
        if self.text:
            parts.append(self.text)
        return " ".join(parts)


CODES = range(100, 1000)
"""The codes that a reply may have (RFC 5321, section 4.2)."""

REPLY_LENGTH = 2_000
"""The longest text of a reply, in characters; the rest is cut, as each is stored
several times."""


def storable(text: str) -> str:
    """The text in a form that every database stores and that cannot control a
    terminal.
    """
    if len(text) > REPLY_LENGTH:
        text = f"{text[:REPLY_LENGTH]} …"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


IN_INBOX = Reply.observed("kept in the dev inbox: nothing left this machine")
"""The dev inbox's reply for a message that it stores."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Return path and recipients: what a transport needs in addition to the content.

    Domains are in their ASCII form (IDNA 2008). A local part may be non-ASCII, which
    requires a server with SMTPUTF8 (RFC 6531). ``utf8_headers`` says that the content
    contains such an address, so that every recipient's server must offer SMTPUTF8.
    ``message_id`` is the outbox's id of the message, and ``attempt`` counts from 1: an
    attempt that a crash interrupted has the same number when it is repeated.
    """

    return_path: str
    recipients: tuple[str, ...]
    utf8_headers: bool = False
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()
    message_id: str | None = None
    attempt: int = 1


class Outcome(StrEnum):
    """The outcome of one attempt for one recipient."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    """Not attempted, because this address must not be mailed."""


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """One recipient's outcome, and the reply that decided it.

    Raises `ValueError` unless the reply is a `Reply` that an outbox can store.
    """

    outcome: Outcome
    reply: Reply

    def __post_init__(self) -> None:
        code = getattr(self.reply, "code", 0)
        if code is not None and code not in CODES:
            raise ValueError(
                f"a recipient's report needs a Reply, whose code has three digits or "
                f"is None, not {self.reply!r}"
            )


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one attempt for each recipient."""

    recipients: Mapping[str, RecipientReport]

    @classmethod
    def same(
        cls, recipients: tuple[str, ...], outcome: Outcome, reply: Reply
    ) -> Report:
        """The report of an attempt that had the same outcome for all recipients."""
        return cls(dict.fromkeys(recipients, RecipientReport(outcome, reply)))

    def for_each(self, recipients: Collection[str]) -> Report:
        """The outcomes for exactly these; one that the transport left out is
        *deferred*, so that nobody is forgotten.
        """
        found = self.recipients
        if found.keys() == {*recipients}:
            return self
        return Report({one: found.get(one, _LEFT_OUT) for one in recipients})

    @property
    def accepted(self) -> bool:
        """Whether the next hop accepted the message for every recipient."""
        return all(one.outcome is Outcome.ACCEPTED for one in self.recipients.values())


_LEFT_OUT = RecipientReport(
    Outcome.DEFERRED,
    Reply.observed(
        "the transport reported nothing about this recipient: this is a bug in it"
    ),
)


@dataclass(slots=True)
class Progress:
    """How far a transport has come with one message; may be read while it works.

    ``final_dot_sent`` becomes true before the first byte is sent that could complete
    the content: from then on a lost connection means *unknown*. ``lines`` is the
    dialogue, without secrets and content; each line begins with its speaker.
    ``provider_ids`` has the id that the next hop gave the message, if any, for each
    recipient for whom it accepted it. ``lease_holds()`` says whether the message is
    still ours to send; a transport asks before it sends the first byte, and before the
    final dot. Without a courier (`Mail.send_now`, tests) there is no lease, and it is
    always true.
    """

    final_dot_sent: bool = False
    lines: list[str] = field(default_factory=list)
    provider_ids: dict[str, str] = field(default_factory=dict)
    lease_holds: Callable[[], bool] = lambda: True

    def note(self, speaker: str, *texts: str) -> None:
        """Add lines that ``speaker`` ("us" or "them") sends now."""
        for text in texts:
            self.lines.append(f"{speaker}: {text}")

    @property
    def dialogue(self) -> list[str]:
        """The lines, as they are stored."""
        return [*map(storable, self.lines)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The classified report of an attempt: what to record.

    ``recipients`` has the next state and last reply of each recipient of the attempt.
    ``due_at`` is when the message is due again: for the next attempt if *pending*, for
    resending if *unknown*, else None.
    """

    state: State
    recipients: Mapping[str, tuple[State, Reply]]
    due_at: float | None = None
    attempted: bool = True
    """Whether it counts as an attempt; trouble of the transport does not."""
    reason: str | None = None
    """The reason, if no recipient's reply says it."""


def retry_after_seconds(text: str) -> float | None:
    """What ``Retry-After`` says, in seconds or as a date (RFC 9110 section 10.2.3)."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text.strip()).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return max(seconds, 0.0) if seconds < float("inf") else None
