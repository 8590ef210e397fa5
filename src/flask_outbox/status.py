"""The status of messages and lanes, in the few words that fit on a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .config import Settings
from .delivery import IN_INBOX, State
from .events import EventKind
from .feedback import Fate
from .humanize import MINUTE, duration, milliseconds
from .outbox.records import LaneRecord, MessageRecord, WebhookEndpointRecord
from .phrases import Phrase, joined, phrase, plural, term


@dataclass(frozen=True, slots=True)
class LanePause:
    """Why a lane is paused, and when it is probed next."""

    reason: str
    until: datetime | None
    """None if a person paused it."""


class StageState(StrEnum):
    """Whether a message has yet to reach a stage, is in it, has passed it, failed in
    it, or passed it for some of its recipients only.
    """

    AHEAD = "ahead"
    NOW = "now"
    DONE = "done"
    TROUBLE = "trouble"
    PARTLY = "partly"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a message, from the request to its end."""

    name: str
    state: StageState
    text: str


_UNKNOWN_BY = (EventKind.UNKNOWN, EventKind.RESCUED)
"""The events that make a message *unknown*."""


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """The status of a message at the time ``now``."""

    record: MessageRecord
    pause: LanePause | None
    now: datetime

    @property
    def unfinished(self) -> bool:
        """Whether more will happen to it without a person's action."""
        state = self.record.state
        return not state.final or (state is State.UNKNOWN and not self.on_hold)

    @property
    def responded(self) -> bool:
        """Whether the request that sent it has got its response.

        A fast courier may send the message before that.
        """
        return any(one.kind == EventKind.RESPONDED for one in self.record.events)

    @property
    def on_hold(self) -> bool:
        """Whether it is *unknown* until a person decides."""
        ends = [one for one in self.record.events if one.kind in _UNKNOWN_BY]
        return self.record.state is State.UNKNOWN and "due_at" not in ends[-1].detail

    @property
    def summary(self) -> Phrase:
        """The status in a few words."""
        return _SUMMARIES[self.record.state](self)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, from the request to the end."""
        return tuple(
            Stage(name, *stage(self))
            for name, stage in (
                ("request", _request),
                ("outbox", _outbox),
                ("courier", _courier),
                ("server", _server),
                ("end", _end),
            )
        )

    def time_until(self, moment: datetime) -> Phrase:
        """The time until ``moment``: "3 s", "2 h 5 min"."""
        seconds = math.ceil(max(0.0, (moment - self.now).total_seconds()))
        if seconds < MINUTE:
            return phrase("%(number)s s", number=seconds)
        return duration(seconds)

    @property
    def attempt(self) -> int:
        """The number of the latest attempt, 0 before the first."""
        return self.record.attempts[-1].number if self.record.attempts else 0

    @property
    def in_attempt(self) -> bool:
        """Whether a courier is delivering it, and its attempt has begun.

        A message may be leased before: until its lane takes it.
        """
        attempts = self.record.attempts
        return (
            self.record.state is State.LEASED
            and bool(attempts)
            and attempts[-1].outcome is None
        )

    @property
    def tried(self) -> Phrase:
        """The number of attempts in words: "tried once", "tried 3 times"."""
        return plural(self.attempt, "tried once", "tried %(number)s times")

    @property
    def in_inbox(self) -> bool:
        """Whether it was stored in the dev inbox instead of sent."""
        return self.reply == str(IN_INBOX)

    @property
    def reply(self) -> str:
        """The server's last reply, or ""."""
        recipients = self.record.recipients
        not_sent = [one for one in recipients if one.state is not State.SENT]
        reply = (not_sent or recipients)[0].reply
        return str(reply) if reply else ""

    @property
    def fates(self) -> Mapping[Fate, int]:
        """How many recipients have each fate, the furthest first."""
        found = Counter(one.fate for one in self.record.recipients if one.fate)
        return {fate: found[fate] for fate in reversed(Fate) if fate in found}

    @property
    def parts(self) -> Phrase:
        """How many recipients got it and what became of the others, if there are both:
        "3 of 4 sent, 1 failed". Else "".
        """
        found = Counter(one.state for one in self.record.recipients)
        sent = found.pop(State.SENT, 0)
        if not sent or not found:
            return joined()
        sent_of_all = phrase(
            "%(sent)s of %(all)s sent", sent=sent, all=len(self.record.recipients)
        )
        others = (joined(count, _word(state), by=" ") for state, count in found.items())
        return joined(sent_of_all, *others)


NOTHING = joined()


def _word(state: State) -> Phrase:
    return term("state of many", "waiting" if state is State.PENDING else state)


def _failed(status: MessageStatus) -> Phrase:
    end = phrase("it will not be tried again")
    return joined(status.parts, end, by=": ") if status.parts else end


def _pending(status: MessageStatus) -> Phrase:
    if status.record.due_at > status.now:
        due = status.time_until(status.record.due_at)
        return phrase("waiting: due in %(time)s", time=due)
    if status.pause is None:
        return phrase("waiting for a courier")
    if status.pause.until is None:
        return phrase("waiting: a person paused its lane")
    probe = status.time_until(status.pause.until)
    return phrase("waiting: the next probe is in %(time)s", time=probe)


def _unknown(status: MessageStatus) -> Phrase:
    if status.on_hold:
        return phrase("it may have arrived: a person decides")
    due = status.time_until(status.record.due_at)
    return phrase("it may have arrived: sent again in %(time)s", time=due)


def _sent(status: MessageStatus) -> Phrase:
    if status.in_inbox:
        return phrase("it is in the dev inbox")
    return phrase("the server accepted it")


_SUMMARIES: dict[State, Callable[[MessageStatus], Phrase]] = {
    State.PENDING: _pending,
    State.LEASED: lambda _: phrase("a courier is delivering it"),
    State.SENT: _sent,
    State.FAILED: _failed,
    State.UNKNOWN: _unknown,
    State.CANCELLED: lambda _: phrase("it will not be sent"),
    State.SUPPRESSED: lambda _: phrase("its recipients are suppressed"),
    State.PAUSED: lambda _: phrase("waiting: a person paused its batch"),
    State.MOVING: lambda _: phrase("being moved to another outbox"),
}

_Stage = tuple[StageState, str]


def _request(status: MessageStatus) -> _Stage:
    if status.record.origin is None:
        return StageState.DONE, phrase("none: a script")
    for event in status.record.events:
        if event.kind == EventKind.RESPONDED:
            return (
                StageState.DONE,
                phrase(
                    "answered in %(time)s",
                    time=milliseconds(event.detail["response_seconds"]),
                ),
            )
        if event.kind == EventKind.RESCUED:
            return StageState.TROUBLE, phrase("the app died, the mail did not")
    return StageState.NOW, phrase("not yet answered")


def _outbox(status: MessageStatus) -> _Stage:
    if status.record.state in (State.PENDING, State.UNKNOWN, State.PAUSED):
        return StageState.NOW, status.summary
    return StageState.DONE, phrase("stored")


def _courier(status: MessageStatus) -> _Stage:
    if status.in_attempt:
        return StageState.NOW, phrase("attempt %(number)s", number=status.attempt)
    if status.record.state is State.LEASED:
        return StageState.NOW, phrase("has it")
    if not status.attempt:
        return StageState.AHEAD, ""
    if status.record.state is State.PENDING:
        paused = term("courier", "paused")
        return StageState.AHEAD, paused if status.pause else status.tried
    return StageState.DONE, status.tried


def _server(status: MessageStatus) -> _Stage:
    state = status.record.state
    if status.in_attempt:
        return StageState.NOW, term("server", "asked")
    if state is State.SENT:
        return StageState.DONE, status.reply
    if state is State.PENDING and status.pause:
        return StageState.TROUBLE, term("server", "down")
    if not status.reply:
        return StageState.AHEAD, ""
    if status.parts:
        return StageState.PARTLY, joined(status.parts, status.reply, by=": ")
    return StageState.TROUBLE, status.reply


def _end(status: MessageStatus) -> _Stage:
    if status.record.state is State.SENT and status.fates:
        trouble = any(fate.is_trouble for fate in status.fates)
        words = [
            term("fate", fate.words)
            if len(status.record.recipients) == 1
            else joined(count, term("fate of many", fate.words), by=" ")
            for fate, count in status.fates.items()
        ]
        return StageState.TROUBLE if trouble else StageState.DONE, joined(*words)
    if status.record.state is State.SENT:
        in_inbox, sent = phrase("in the dev inbox"), phrase("Email sent!")
        return StageState.DONE, in_inbox if status.in_inbox else sent
    if status.unfinished:
        return StageState.AHEAD, ""
    if status.parts:
        return StageState.PARTLY, status.parts
    return StageState.TROUBLE, status.summary


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """The public status of one lane."""

    name: str
    leaves_by: str | None
    """Where its mail goes; None if the app has no transport of that name."""
    rate: str | None
    paused_by: str | None
    reason: str
    until: datetime | None
    waiting: int
    due: int
    since: datetime | None
    """When it was paused; None if it is open."""


RESOLVED: Phrase = phrase("what the resolver returns")
"""Where the mail of a lane goes that is not in the settings."""


def lane_statuses(
    settings: Settings, found: Iterable[LaneRecord], *, resolves: bool
) -> list[LaneStatus]:
    """Every transport of the app, then lanes of other names that have messages or that
    a person paused.

    If the app ``resolves`` names, those have a transport too.
    """
    records = {one.name: one for one in found}
    others = [
        name
        for name, one in records.items()
        if (one.waiting or (resolves and one.paused_by == "person"))
        and name not in settings.transports
    ]
    return [
        _lane_status(name, settings, records.get(name), resolves=resolves)
        for name in [*settings.transports, *others]
    ]


def _lane_status(
    name: str, settings: Settings, found: LaneRecord | None, *, resolves: bool
) -> LaneStatus:
    transport = settings.transports.get(name)
    otherwise = RESOLVED if resolves else None
    record = found or LaneRecord(name, None, "", None, 0, 0)
    limits = transport.limits if transport else ()
    return LaneStatus(
        name=name,
        leaves_by=transport.place if transport else otherwise,
        rate=", ".join(str(one) for one in limits) or None,
        paused_by=record.paused_by,
        reason=record.reason,
        until=record.until,
        waiting=record.waiting,
        due=record.due,
        since=record.since,
    )


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """The public status of one webhook endpoint."""

    name: str
    place: str
    """Its URL without path and query, which may be a secret."""
    kinds: tuple[str, ...]
    """The kinds of event that it is told of."""
    paused_by: str | None
    reason: str
    until: datetime | None
    waiting: int
    failed: int


def webhook_statuses(
    settings: Settings, found: Iterable[WebhookEndpointRecord]
) -> list[WebhookStatus]:
    """The endpoints that were found, with their settings."""
    return [
        WebhookStatus(
            name=one.name,
            place=settings.webhooks[one.name].place,
            kinds=tuple(sorted(settings.webhooks[one.name].kinds)),
            paused_by=one.paused_by,
            reason=one.reason,
            until=one.until,
            waiting=one.waiting,
            failed=one.failed,
        )
        for one in found
    ]
