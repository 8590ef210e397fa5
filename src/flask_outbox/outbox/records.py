"""The records that go into the outbox, and those that it returns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Never

from blinker import NamedSignal

from .. import signals
from ..alerts import Alert
from ..delivery import Envelope, Reply, State, storable
from ..erased_address import is_erased_recipient
from ..events import Event, EventKind
from ..feedback import Fate
from ..message import Template
from ..phrases import Phrase, phrase
from ..trace_context import TraceContext, trace_fields


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ``send()`` returns: the message is in the outbox, under this id."""

    id: str
    rfc_message_id: str
    """The message's Message-ID header, the same on every attempt."""
    duplicate: bool = False
    """Whether this is an earlier message with the same ``key``; nothing new is stored.
    """
    suppressed: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The recipients who do not get it because they must not be mailed, and why."""
    stopped: str | None = None
    """Why an interceptor stopped it; None if none did."""

    if not TYPE_CHECKING:  # a type checker says so by itself

        def __await__(self) -> Never:
            raise TypeError(
                "mail.send() is not awaited, not even in async views: write receipt = "
                f"mail.send(message). The message is stored already, as {self.id}."
            )


@dataclass(frozen=True, slots=True)
class Change:
    """What an interceptor changed in a message before it was stored."""

    by: str
    """The function's name, with its module."""
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """An interceptor stopped the message: it is not sent."""

    by: str
    """The function's name, with its module."""
    reason: str


class Sensitivity(IntEnum):
    """Whether people may see a message's content, and whether it is kept."""

    NONE = 0
    HIDDEN = 1
    """Nobody is shown it, and it is removed once the message is finished."""
    SHOWN = 2
    """It would be, but a developer reads it in the dev inbox."""


GONE = "was pruned (OUTBOX_KEEP_BODIES) or erased"
"""Why a message that is not hidden has no content any more."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A composed message that is about to be stored."""

    id: str
    envelope: Envelope
    rfc_message_id: str
    subject: str
    content: bytes
    """The RFC 5322 bytes; with a ``template``, its attachments (`Stored`)."""
    enqueued_at: float
    due_at: float
    give_up_at: float
    lane: str = "default"
    queue: str = ""
    """The queue of its lane in which it waits (see the module `due`)."""
    priority: int = 0
    key: str | None = None
    tag: str | None = None
    metadata: str | None = None
    origin: Mapping[str, Any] | None = None
    again_of: str | None = None
    """The id of the message that a person sends again with this one."""
    changes: tuple[Change, ...] = ()
    stop: Stop | None = None
    """The interceptor that stopped it, if any: it is then stored as *cancelled*."""
    template: str | None = None
    """The template that a courier renders (`Stored.text`), if any."""
    batch: str | None = None
    """The id of its batch, if any."""
    batch_row: int | None = None
    """Its row in the batch, from 1."""
    sensitivity: Sensitivity = Sensitivity.NONE
    trace: TraceContext | None = None
    """The span that hands it over, with ``OUTBOX_TRACES``."""

    @property
    def hidden(self) -> bool:
        """Whether nobody may see its content."""
        return self.sensitivity is Sensitivity.HIDDEN


@dataclass(frozen=True, slots=True)
class Claim:
    """One leased message, as its courier sees it.

    ``envelope`` names only the recipients who have not been settled yet. ``token`` is a
    fencing token: a courier with an older one can record nothing.
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
    """The states of recipients that were settled before."""
    instead_of: str | None = None
    """The lane that it waits on, if ``lane`` is used as its fallback."""
    tag: str | None = None
    priority: int = 0
    batch: str | None = None
    suppressed: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Recipients that the claim left out because they must not be mailed, and why.
    If that leaves none, the message is finished already."""
    template: str | None = None
    """The template to render (`Stored.text`); None once its rendition is stored."""
    unreadable: str | None = None
    """Why its rows cannot be read, if so. The message has failed already, and has no
    recipients here."""
    key_missing: str | None = None
    """Why it cannot be decrypted, if so. The message waits again, and has no recipients
    here."""
    hidden: bool = False
    """Whether nobody may see its content, which is removed with the last attempt."""
    trace: TraceContext | None = None
    """The span that handed it over, with ``OUTBOX_TRACES``."""

    @property
    def own_lane(self) -> str:
        """The lane that it waits on, whichever lane delivers it."""
        return self.instead_of or self.lane

    @property
    def log_fields(self) -> dict[str, Any]:
        """What a log line about it has as ``extra``."""
        fields = {
            "message_id": self.id,
            "lane": self.lane,
            "courier": self.owner,
            "attempt": self.attempt,
        }
        batch = {"batch": self.batch} if self.batch else {}
        return fields | batch | trace_fields(self.trace)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a message, and the last reply for it."""

    address: str
    state: State
    reply: Reply | None
    fate: Fate | None = None
    """The furthest fate that was reported; None if there was no report."""
    fate_at: datetime | None = None
    """When that happened, according to the report."""
    fate_text: str | None = None
    """The words of the recipient's server, or of the provider."""

    @property
    def erased(self) -> bool:
        """Whether a placeholder is in place of their address, which was erased."""
        return is_erased_recipient(self.address)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a message, as its history records it."""

    number: int
    courier: str
    began_at: datetime
    ended_at: datetime | None
    outcome: EventKind | None
    """One of `ATTEMPT_ENDS`, or *rescued* if its courier died; None while it runs."""


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message, as the outbox had it when it was read."""

    id: str
    state: State
    subject: str
    return_path: str
    rfc_message_id: str
    lane: str
    priority: int
    key: str | None
    tag: str | None
    metadata: Any
    origin: Mapping[str, Any] | None
    """The request that sent it: ``method``, ``route``, ``endpoint`` and
    ``request_id``; None if it was sent outside a request."""
    size_bytes: int
    enqueued_at: datetime
    due_at: datetime
    recipients: tuple[Recipient, ...]
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    template: Template | None = None
    """The template that a courier has yet to render (``render="later"``), if any."""
    batch: str | None = None
    """The id of its batch, if any."""
    batch_row: int | None = None
    """Its row in the batch, from 1."""
    trace_id: str | None = None
    """The trace in which it was handed over, with ``OUTBOX_TRACES``."""
    sensitive: bool = False
    """Whether it was sent with ``sensitive=True``."""
    hidden: bool = False
    """Whether it is sensitive and nobody may see its content: its subject, metadata and
    template's context are left out here. False for a sensitive message that an app in
    debug or testing mode keeps in the dev inbox."""
    content_removed: bool = False
    """Whether its content is gone: pruned, erased, or removed at its end because it is
    hidden. Then it cannot be sent any more."""
    batch_paused: bool = False
    """Whether its batch is paused. Then it cannot be retried until that is resumed."""
    batch_cancelled: bool = False
    """Whether its batch was cancelled. Then it cannot be retried, only sent again."""


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """One message in a list."""

    id: str
    state: State
    subject: str
    recipients: tuple[str, ...]
    tag: str | None
    lane: str
    attempts: int
    enqueued_at: datetime
    due_at: datetime
    fate: Fate | None = None
    """The furthest fate of any of its recipients; None if nothing is reported."""
    sent: int = 0
    """To how many of its recipients it was sent."""
    reply: str | None = None
    """The last reply for the first recipient who has not got it; None if there is none.
    """

    @property
    def partly_sent(self) -> bool:
        """Whether some of its recipients have got it, and others have not."""
        return 0 < self.sent < len(self.recipients)

    @property
    def position(self) -> str:
        """Where it stands in a list: what is newer has a higher one."""
        return self.id


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that must not be mailed, in lower case."""

    address: str
    list: str
    """The tag of the mail that is suppressed; "" for all mail."""
    reason: str
    source: str
    """Where it came from: ``"person"``, ``"api"``, ``"import"``, ``"unsubscribe"`` if
    the recipient unsubscribed, ``"provider"`` if a provider listed it, or what was
    reported: ``"bounce"``, ``"complaint"`` or, by the next hop itself,
    ``"refusal"``."""
    added_at: datetime
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)
    """The report that says so, if one does: ``fate``, ``source``, ``event_id``,
    ``message_id``, ``at``, ``words``, as far as they are known. For an entry from a
    provider's list: ``transport``, ``listed_for``, ``at``, ``words``."""

    @property
    def provider_may_list(self) -> bool:
        """Whether the provider that sent the mail may have the address on a list of its
        own, for the same reason.
        """
        return self.source in ("bounce", "complaint", "provider")

    @property
    def reported_at(self) -> datetime | None:
        """When that happened; None without evidence of it."""
        at = (self.evidence or {}).get("at")
        return None if at is None else datetime.fromtimestamp(at, UTC)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What followed when the ends of attempts were recorded."""

    lost: Sequence[Claim]
    """Those whose lease was lost: nothing was recorded of them."""
    suppressed: Sequence[Suppression]
    """The addresses that were refused as not existing, and are suppressed now."""


@dataclass(frozen=True, slots=True)
class SuppressedListed:
    """What became of some entries of a provider's list."""

    added: Sequence[Suppression]
    known: int
    """How many were on the list here."""
    pardoned: int
    """How many were listed before somebody took them off the list here."""


@dataclass(frozen=True, slots=True)
class SuppressionSync:
    """What a provider's list had that was not known here.

    An address that the provider lists for several reasons counts for each.
    """

    transport: str
    read: int = 0
    """How many entries the provider has."""
    added: int = 0
    """How many of them are suppressed now that were not."""
    known: int = 0
    """How many were suppressed already."""
    pardoned: int = 0
    """How many were listed before somebody removed the suppression here: they stay
    removed."""
    unreadable: int = 0
    """How many are not mail addresses, or have a tag that no mail can have."""


@dataclass(frozen=True, slots=True)
class Unerased:
    """A message that could not be erased yet."""

    message_id: str
    why: str
    """What it waits for."""


@dataclass(frozen=True, slots=True)
class PersonErased:
    """How much was erased of a person, and what could not be yet."""

    messages: int = 0
    """How many messages to them."""
    cancelled: tuple[str, ...] = ()
    """The ids of those that still waited, and were cancelled."""
    events: int = 0
    """How many events of histories were changed."""
    reports: int = 0
    """How many reports of what became of mail to them."""
    suppressions: int = 0
    """How many of their suppressions are kept as a digest now."""
    webhooks: int = 0
    """How many webhooks about them were deleted, or changed if they are also about
    others."""
    mentions: int = 0
    """How many other rows named them, and have a placeholder now."""
    waiting: tuple[Unerased, ...] = ()
    """What is to be erased later, by the same call."""
    rewritten: bool | None = None
    """Of an SQLite outbox, whether its file was rewritten and its log emptied, so that
    no bytes of what was erased are left in them. None for other databases."""

    def __add__(self, other: PersonErased) -> PersonErased:
        return PersonErased(
            messages=self.messages + other.messages,
            cancelled=self.cancelled + other.cancelled,
            events=self.events + other.events,
            reports=self.reports + other.reports,
            suppressions=self.suppressions + other.suppressions,
            webhooks=self.webhooks + other.webhooks,
            mentions=self.mentions + other.mentions,
            waiting=self.waiting + other.waiting,
            rewritten=other.rewritten,
        )


@dataclass(frozen=True, slots=True)
class FateReport:
    """What one report says of one recipient, beside what was known before it."""

    message_id: str
    address: str
    fate: Fate
    """What it says."""
    before: Fate | None
    after: Fate
    """The recipient's fate after it; a later one than ``fate`` stays."""
    at: datetime
    reply: str | None
    source: str
    operator: bool
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def changed(self) -> bool:
        """Whether the recipient's fate is another one than before."""
        return self.after is not self.before


class Taking(StrEnum):
    """What became of a report."""

    APPLIED = "applied"
    """It concerns recipients of a message, whose history has it."""
    REPEATED = "repeated"
    """It was received before."""
    UNMATCHED = "unmatched"
    """Its message is not here, or not yet; it is kept, and applied once that is."""
    IGNORED = "ignored"
    """It names somebody who is no recipient of its message, or says that a message was
    opened or clicked for which nobody asked (`OUTBOX_TRACK_TAGS`)."""


@dataclass(frozen=True, slots=True)
class TakenReport:
    """What one report came to."""

    source: str
    event_id: str
    taking: Taking
    message_id: str | None = None
    fates: tuple[FateReport, ...] = ()
    """One for each recipient that it concerns."""


Announcement = tuple[NamedSignal, Mapping[str, Any]]
"""A signal, and what it says."""


@dataclass(frozen=True, slots=True)
class FeedbackTaken:
    """What reports came to, one by one, and whom they suppressed."""

    reports: tuple[TakenReport, ...] = ()
    """In the order in which they were given."""
    suppressed: tuple[Suppression, ...] = ()
    """The addresses that are on the suppression list for it, and were not before."""

    def count(self, taking: Taking) -> int:
        """How many of the reports came to this."""
        return sum(one.taking is taking for one in self.reports)

    def announcements(self) -> Iterator[Announcement]:
        """The signals to send, in the order of what was reported."""
        for fate in (fate for one in self.reports for fate in one.fates):
            if fate.changed:
                yield (
                    signals.fate_changed,
                    {
                        "message_id": fate.message_id,
                        "address": fate.address,
                        "fate": fate.after,
                        "before": fate.before,
                        "at": fate.at,
                        "reply": fate.reply,
                        "source": fate.source,
                        "operator": fate.operator,
                    },
                )
        for entry in self.suppressed:
            yield suppressed_announcement(entry)


def suppressed_announcement(entry: Suppression) -> Announcement:
    """The signal that something that was not a person suppressed an address."""
    return (
        signals.address_suppressed,
        {
            "address": entry.address,
            "list": entry.list,
            "reason": entry.reason,
            "source": entry.source,
            "evidence": entry.evidence,
        },
    )


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
    """A lane that is paused or has pending messages."""

    name: str
    paused_by: str | None
    """``"trouble"`` if its transport fails, ``"person"``, or None if it is open."""
    reason: str
    """Why it is paused; "" if it is open."""
    until: datetime | None
    """When its transport is probed next, if that is down."""
    waiting: int
    """How many messages are pending on it."""
    due: int
    """How many of them could be delivered now."""
    since: datetime | None = None
    """When it was paused; None if it is open."""


class WebhookState(StrEnum):
    """The state of a webhook."""

    PENDING = "pending"
    """It will be sent, perhaps again."""
    DONE = "done"
    """The endpoint took it."""
    FAILED = "failed"
    """It was tried for long enough; a person may replay it."""


@dataclass(frozen=True, slots=True)
class WebhookEndpointRecord:
    """A webhook endpoint, as the outbox had it when it was read."""

    name: str
    paused_by: str | None
    """``"trouble"`` if it fails, ``"gone"`` if it answered 410, ``"person"``, or None
    if it is open."""
    reason: str
    """Why it is paused; "" if it is open."""
    until: datetime | None
    """When it is probed next, if it fails."""
    waiting: int
    """How many webhooks are to be sent to it."""
    failed: int
    """How many were given up, and not replayed."""


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """A webhook, as the outbox had it when it was read."""

    id: str
    message_id: str | None
    """The message that it is about; None if it tells an alert or only tries the
    endpoint."""
    kind: str
    state: WebhookState
    attempts: int
    queued_at: datetime
    due_at: datetime
    finished_at: datetime | None
    status: int | None
    """The status of the endpoint's last reply, if there was one."""
    error: str | None
    """Why the endpoint did not take it, when it was last sent."""


@dataclass(frozen=True, slots=True)
class TransferChunk:
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
class EncryptionStatus:
    """With which keys the outbox is encrypted."""

    key: str
    """The id of the key that encrypts."""
    old_keys: tuple[str, ...]
    """Other keys with which something may still be encrypted."""
    missing_keys: tuple[str, ...]
    """Those of them that ``OUTBOX_ENCRYPTION_KEYS`` does not have."""
    clear: bool
    """Whether something may still be in the clear."""
    rows_left: int | None = None
    """How many rows are in the clear or encrypted with another key; None if that was
    not counted."""


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Exact counts, and the state of lanes, couriers and moves."""

    counts: Mapping[State, int]
    due: int
    """How many pending messages could be delivered now."""
    oldest_due_at: datetime | None
    lanes: tuple[LaneRecord, ...]
    """Those that are paused or have pending messages."""
    couriers: tuple[CourierRecord, ...]
    moves: tuple[TransferChunk, ...] = ()
    """The chunks that are half moved to another outbox."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """How many messages have a state that is not in `State`, by its text. Their rows
    are damaged, or a later version wrote them."""
    fates: Mapping[Fate, int] = field(default_factory=dict)
    """How many recipients of the mail that was enqueued in the last day have each fate.
    """
    unmatched_reports: int = 0
    """How many received reports wait for their message."""
    alerts: tuple[Alert, ...] = ()
    """Those that last, the oldest first."""
    encryption: EncryptionStatus | None = None
    """None if the outbox is not encrypted."""


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What ``send_many()`` returns: every row is in the outbox, in this batch."""

    id: str
    messages: int
    """How many rows it has; each is one message."""
    duplicate: bool = False
    """Whether all of them were stored before, so that nothing new was."""


class BatchState(StrEnum):
    """The state of a batch."""

    ENQUEUEING = "enqueueing"
    """Its rows are being stored; the first may be sent already."""
    INTERRUPTED = "interrupted"
    """Storing its rows was interrupted. Stored rows are sent; the rest can be
    resumed."""
    SENDING = "sending"
    """All rows are stored, and not all messages are finished."""
    PAUSED = "paused"
    """A person paused it: none of its messages is sent."""
    CANCELLED = "cancelled"
    """A person cancelled its unsent messages."""
    DONE = "done"
    """All rows are stored, and every message is finished."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch, as the outbox had it when it was read."""

    id: str
    name: str
    state: BatchState
    key: str | None
    tag: str | None
    rows_stored: int
    """How many of its rows were stored, including those that are pruned now."""
    total: int | None
    """How many rows it has; None if that is unknown until the last row."""
    counts: Mapping[State, int]
    """How many of its messages are in each state; pruned ones do not count."""
    began_at: datetime
    stored_at: datetime
    """When its latest rows were stored."""
    ended_at: datetime | None
    """When all of its rows were stored; None before that."""
    paused_at: datetime | None
    cancelled_at: datetime | None
    error: str | None
    """Why storing its rows was interrupted, and at which row; None if it was not."""
    fates: Mapping[Fate, int] = field(default_factory=dict, hash=False)
    """How many of its recipients have each fate; empty in a list of batches, because
    counting takes time."""

    @property
    def finished(self) -> int:
        """How many messages are finished, including pruned ones."""
        return self.rows_stored - sum(
            count for state, count in self.counts.items() if not state.final
        )

    @property
    def progress(self) -> float:
        """The finished part of its known rows, from 0 to 1."""
        return self.finished / max(self.total or 0, self.rows_stored, 1)

    def per_second(self, now: datetime) -> float:
        """How many messages per second were finished on average since it began."""
        return self.finished / max((now - self.began_at).total_seconds(), 0.001)


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient of a batch who did not get the message or complained, and why."""

    row: int
    """The row's number in the batch, from 1."""
    message_id: str
    """The id of its message in the outbox."""
    address: str
    state: State
    """``failed``, ``unknown``, ``suppressed`` or ``cancelled``; ``sent`` if it was only
    reported later (``fate``)."""
    reply: str
    """The last reply of the server or the outbox for it, or the words of the report; ""
    if there were none."""
    fate: Fate | None = None

    @property
    def outcome(self) -> State | Fate:
        """Its fate if it was sent, else its state."""
        return self.fate if self.fate and self.state is State.SENT else self.state


_unstorable = re.compile("[\x00\ud800-\udfff]").search

COUNT_LIMIT = 10_000
"""Counts stop here and then say "or more", because exact counting would be slow."""


NO_PARTS: Phrase = phrase(
    "This outbox is encrypted, so mail is not found by the beginning of an address: "
    "give the whole address."
)
"""Why a search for the beginning of an address is refused."""


@dataclass(frozen=True, slots=True)
class Search:
    """Criteria for messages: a message matches if it meets all that are given."""

    state: State | None = None
    due: bool | None = None
    """Only pending messages that are due now (True) or later (False)."""
    lane: str | None = None
    tag: str | None = None
    batch: str | None = None
    """The id of its batch."""
    address: str | None = None
    """A recipient's address or, if it ends with ``*``, the beginning of one: only where
    the outbox is not encrypted."""
    id: str | None = None
    """Its id, or the beginning of it."""
    rfc_message_id: str | None = None
    """Its Message-ID header, with or without angle brackets."""
    subject: str | None = None
    """A part of its subject; case does not matter."""
    fate: Fate | None = None
    """The fate of any of its recipients."""
    since: datetime | None = None
    """Enqueued at this time or later."""
    until: datetime | None = None
    """Enqueued before this time."""
    in_inbox: bool = False
    """Only messages that the dev inbox caught, for any of their recipients."""
    alone: bool = False
    """Only messages of no batch."""

    @property
    def possible(self) -> bool:
        """Whether any row may match: no database stores a NUL or half a surrogate pair,
        and some cannot even be asked for one.
        """
        texts = (
            *(self.lane, self.tag, self.batch, self.address),
            *(self.id, self.rfc_message_id, self.subject),
        )
        return not any(_unstorable(text) for text in texts if text)


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """One batch in a list of messages."""

    id: str
    name: str
    tag: str | None
    messages: int
    """How many of its rows were stored, including those that are pruned now."""
    stored_at: datetime
    """When its latest rows were stored."""
    position: str
    """Where it stands in a list: what is newer has a higher one."""
    counts: Mapping[State, Count] = field(default_factory=dict, hash=False)
    """How many of its messages are in each state that any is in."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the messages that a search found, newest first.

    A search examines a limited number of messages per page. So a page may hold few
    messages, or none, although more match: then ``looked_to`` is set, and the search
    can be continued from ``older`` (or from ``newer``, if it went upwards).
    """

    messages: tuple[MessageSummary, ...]
    older: str | None
    """The value of ``before`` for the page after this one; None if there is none."""
    newer: str | None
    """The value of ``after`` for the page before this one; None if there is none."""
    looked_to: datetime | None
    """The time that the search has reached; None if it did not stop at its limit."""
    batches: tuple[BatchSummary, ...] = ()
    """The batches whose messages are folded away; none in a plain search."""

    @property
    def rows(self) -> list[MessageSummary | BatchSummary]:
        """Its messages and batches, newest first."""
        rows: list[MessageSummary | BatchSummary] = [*self.messages, *self.batches]
        return sorted(rows, key=lambda one: one.position, reverse=True)


class Tab(StrEnum):
    """The states as people sort them: pending messages are waiting or scheduled."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    LEASED = "leased"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    PAUSED = "paused"
    MOVING = "moving"

    @property
    def state(self) -> State:
        """The state of its messages; search for it together with `due`."""
        if self in (Tab.WAITING, Tab.SCHEDULED):
            return State.PENDING
        return State(self.value)

    @property
    def due(self) -> bool | None:
        """Whether its messages are due; None if that does not matter."""
        return {Tab.WAITING: True, Tab.SCHEDULED: False}.get(self)


@dataclass(frozen=True, slots=True)
class Count:
    """A number of messages; if not ``exact``, there are at least that many."""

    number: int
    exact: bool = True

    @classmethod
    def of(cls, counted: int) -> Count:
        """A count from a number that was counted up to `COUNT_LIMIT` + 1."""
        return cls(min(counted, COUNT_LIMIT), counted <= COUNT_LIMIT)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.exact else f"{self.number:,}+"


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts, lanes and couriers for frequent display: counts stop at `COUNT_LIMIT`."""

    counts: Mapping[Tab, Count]
    lanes: tuple[LaneRecord, ...]
    """Those that are paused or have pending messages. Show their numbers by `Count.of`.
    """
    couriers: tuple[CourierRecord, ...]
    fates: Mapping[Fate, Count]
    """How many recipients of the mail that was enqueued in the last day have each fate.
    """
    unmatched_reports: Count
    """How many received reports wait for their message."""
    alerts: tuple[Alert, ...]
    """Those that last, the oldest first."""


class MailboxCursor(NamedTuple):
    """The last mail that was read in a mailbox (RFC 3501 section 2.3.1.1)."""

    uid_validity: int
    """Another one means that the mailbox counts its mails anew."""
    uid: int


class Act(StrEnum):
    """What a person did, for the audit trail."""

    RETRY = "retry"
    CANCEL = "cancel"
    RELEASE = "release"
    DROP = "drop"
    SEND_AGAIN = "send again"
    VIEW = "view"
    """Looked at the content of a message."""
    DOWNLOAD = "download"
    """Had the content of a message, or a part of it, as a file."""
    SEND_BATCH = "send batch"
    PAUSE_BATCH = "pause batch"
    RESUME_BATCH = "resume batch"
    CANCEL_BATCH = "cancel batch"
    PAUSE_LANE = "pause lane"
    RESUME_LANE = "resume lane"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    IMPORT_SUPPRESSIONS = "import suppressions"
    SYNC_SUPPRESSIONS = "sync suppressions"
    PAUSE_WEBHOOKS = "pause webhooks"
    RESUME_WEBHOOKS = "resume webhooks"
    REPLAY_WEBHOOKS = "replay webhooks"
    TEST_WEBHOOKS = "test webhooks"
    EXPORT_MESSAGES = "export messages"
    """Had all that a search on the dashboard finds as a file."""
    EXPORT_PERSON = "export person"
    ERASE_PERSON = "erase person"
    INIT = "init"
    UPGRADE = "upgrade"
    REKEY = "rekey"
    PRUNE = "prune"
    TEST_MAIL = "test mail"
    """Sent a mail by ``flask outbox doctor --send-to``."""
    MOVE = "move"
    ABANDON_MOVE = "abandon move"


ON_MESSAGES = frozenset(
    {Act.RETRY, Act.CANCEL, Act.RELEASE, Act.DROP, Act.SEND_AGAIN}
    | {Act.VIEW, Act.DOWNLOAD}
)
"""The acts whose target is a message."""

ON_BATCHES = frozenset(
    {Act.SEND_BATCH, Act.PAUSE_BATCH, Act.RESUME_BATCH, Act.CANCEL_BATCH}
)
"""The acts whose target is a batch."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, for the audit trail."""

    name: str
    face: str
    """Where from: ``dashboard``, ``cli`` or ``api``."""

    @classmethod
    def named(cls, name: str, face: str) -> Actor:
        """The actor with a name that is safe to show, and not too long to store."""
        return cls(storable(name)[:NAME_LENGTH], face)


NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit trail: who did what, where from, and to what."""

    id: str
    at: datetime
    actor: str
    """Who: a name, or the address that the request came from."""
    face: str
    """Where from: ``dashboard``, ``cli`` or ``api``."""
    act: str
    """An `Act`, or one that a later version of Flask-Outbox wrote."""
    target: str
    """The id of a message, a batch or a key, the name of a lane or an endpoint, the
    version of the tables, or an address that is masked, as in ``a…@e….org``; "" if
    there is none."""
    many: int
    """How many messages, addresses, webhooks or rows it concerned."""
    note: str
    """Which part, list or transport; "" if there is nothing to add."""

    @property
    def message_id(self) -> str | None:
        """The message that it was done to, if it was one."""
        return self.target if self.act in ON_MESSAGES else None

    @property
    def batch_id(self) -> str | None:
        """The batch that it was done to, if it was one."""
        return self.target if self.act in ON_BATCHES else None


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Criteria for lines of the audit trail: a line matches if it meets all that are
    given.
    """

    target: str | None = None
    actor: str | None = None
    act: Act | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: str | None = None
    """Only lines older than the one with this id."""


class AuditPage(NamedTuple):
    """Lines of the audit trail, the newest first."""

    lines: tuple[AuditLine, ...]
    older: str | None
    """What to search before, for the next page; None if this is the last."""


def audit_target(text: str) -> str:
    """What the audit trail calls what ``text`` names: an address is masked."""
    return masked(text) if "@" in text else text


def masked(address: str) -> str:
    """An address for the audit trail, which tells it to who knows it and to nobody
    else: ``a…@e….org``.
    """
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local[:1]}…@{domain[:1]}….{domain.rpartition('.')[2]}"
