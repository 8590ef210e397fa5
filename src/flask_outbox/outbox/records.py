"""What goes into the outbox and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Never

from ..delivery import Envelope, Reply, State
from ..message import Template
from ..story import Event


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ``send()`` answers: the message is in the outbox, under this id."""

    id: str
    message_id: str
    """The message's Message-ID header, the same on every attempt."""
    duplicate: bool = False
    """Whether this names a message that was there before under the same ``key``."""
    suppressed: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Who does not get it, because that address must not be mailed, and why."""
    stopped: str | None = None
    """Why an interceptor kept it from being sent; None where none did."""

    if not TYPE_CHECKING:  # a type checker says so by itself

        def __await__(self) -> Never:
            raise TypeError(
                "mail.send() is not awaited, in async views neither: write receipt = "
                f"mail.send(message). The message is kept already, as {self.id}."
            )


@dataclass(frozen=True, slots=True)
class Change:
    """What an interceptor changed in a message that was being handed over."""

    by: str
    """The function's name, with its module."""
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """That an interceptor kept a message from being sent."""

    by: str
    """The function's name, with its module."""
    reason: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A composed message on its way into the outbox."""

    id: str
    envelope: Envelope
    message_id: str
    subject: str
    content: bytes
    """Where a ``template`` is still to be rendered, its attachments (`Stored`)."""
    enqueued_at: float
    due_at: float
    give_up_at: float
    lane: str = "default"
    queue: str = ""
    """Where it waits: `outbox.waiting`."""
    priority: int = 0
    key: str | None = None
    tag: str | None = None
    metadata: str | None = None
    origin: Mapping[str, Any] | None = None
    again_of: str | None = None
    """The message that a person sends again by this one."""
    changes: tuple[Change, ...] = ()
    stop: Stop | None = None
    """Who kept it from being sent: it is stored as *cancelled*."""
    template: str | None = None
    """What is still to be rendered (`Stored.text`)."""
    batch: str | None = None
    """The batch that it belongs to."""
    batch_row: int | None = None
    """Its place in that, from 1."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One leased message, as its courier sees it.

    ``envelope`` names only the recipients who are still open. ``token`` fences: whoever
    holds an older one records nothing.
    """

    id: str
    owner: str
    token: int
    attempt: int
    crashes: int
    lane: str
    envelope: Envelope
    content: bytes
    give_up_at: float
    settled: frozenset[State] = frozenset()
    """States of the recipients that earlier attempts have settled."""
    instead_of: str | None = None
    """The lane that it waits on, where ``lane`` stands in for that one."""
    tag: str | None = None
    batch: str | None = None
    suppressed: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Recipients that were left out when it was claimed, because they must not be
    mailed, and why. Where that leaves nobody, the message is settled already."""
    template: str | None = None
    """What is still to be rendered (`Stored.text`); None once that is kept."""
    unreadable: str | None = None
    """Why nobody can deliver what the outbox keeps of it. It is settled, and has no
    recipients here."""

    @property
    def waits_on(self) -> str:
        """The lane that it waits on, by whichever it leaves."""
        return self.instead_of or self.lane


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of a message, and what its server last said."""

    address: str
    state: State
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a message, as the story tells it."""

    number: int
    courier: str
    began_at: datetime
    ended_at: datetime | None
    outcome: str | None
    """``sent``, ``deferred``, ``failed``, ``unknown``, ``released`` (given back
    untried) or ``rescued`` (its courier died); None while it runs."""


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message as the outbox knows it at the moment of asking."""

    id: str
    state: State
    subject: str
    return_path: str
    message_id: str
    lane: str
    priority: int
    key: str | None
    tag: str | None
    metadata: Any
    origin: Mapping[str, Any] | None
    """The request that handed it over: ``method``, ``route``, ``endpoint`` and
    ``request_id``; None where a script did."""
    size_bytes: int
    enqueued_at: datetime
    due_at: datetime
    recipients: tuple[Recipient, ...]
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    template: Template | None = None
    """What it is still to be rendered from (``render="later"``)."""
    batch: str | None = None
    """The batch that it was handed over in."""
    batch_row: int | None = None
    """Its place in that, from 1."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a list of messages."""

    id: str
    state: State
    subject: str
    recipients: tuple[str, ...]
    tag: str | None
    lane: str
    attempts: int
    enqueued_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that must not be mailed, in lower case."""

    address: str
    list: str
    """Which mail that holds for: whatever has this tag, or with "" all of it."""
    reason: str
    source: str
    """Who said so: ``"person"``, ``"api"``, ``"import"``, or ``"unsubscribe"`` where
    it was the recipient, by the link in a mail."""
    added_at: datetime


@dataclass(frozen=True, slots=True)
class CourierRecord:
    """One courier's heartbeat."""

    id: str
    engine: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    alive: bool
    leased: int


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A lane that is paused, or on which messages wait."""

    name: str
    paused_by: str | None
    """``"trouble"`` of its transport, ``"person"``, or None while it is open."""
    reason: str
    """Why it is paused; "" while it is open."""
    until: datetime | None
    """When it is probed next, where its transport is in trouble."""
    waiting: int
    """How many messages are pending on it."""
    due: int
    """How many of them could be delivered now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that have departed to another outbox, and may have arrived there."""

    move: str
    number: int
    heading_to: str
    """That outbox's URL, without its password."""
    departed_at: datetime
    messages: int

    def __str__(self) -> str:
        are = "message is" if self.messages == 1 else "messages are"
        return (
            f"{self.messages:,} {are} half moved to {self.heading_to}: run 'flask "
            f"outbox move --to {self.heading_to}' again."
        )


@dataclass(frozen=True, slots=True)
class Status:
    """The outbox at a glance."""

    counts: Mapping[State, int]
    due: int
    """How many pending messages could be delivered now."""
    oldest_due_at: datetime | None
    lanes: tuple[LaneRecord, ...]
    """Those that are paused, or on which messages wait."""
    couriers: tuple[CourierRecord, ...]
    moves: tuple[Batch, ...] = ()
    """What is half moved to another outbox."""
