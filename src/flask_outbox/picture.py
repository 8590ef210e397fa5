"""Picture: where a mail is on its way, in the few words that fit on a page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .delivery import KEPT_HERE, State
from .outbox.records import MessageRecord
from .words import MINUTE, duration


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a lane is paused, and until when couriers let its server be."""

    reason: str
    until: datetime | None
    """None where a person paused it."""


class Light(StrEnum):
    """How a stage of the way is lit."""

    AHEAD = "ahead"
    NOW = "now"
    DONE = "done"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the way from the request to the end."""

    name: str
    light: Light
    text: str


_UNKNOWN_BY = ("unknown", "rescued")
"""The events that make a message *unknown*."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A message as it is seen at a moment."""

    record: MessageRecord
    pause: Pause | None
    now: datetime

    @property
    def unfinished(self) -> bool:
        """Whether anything is still going to happen to it by itself."""
        state = self.record.state
        return not state.final or (state is State.UNKNOWN and not self.held)

    @property
    def answered(self) -> bool:
        """Whether the request that handed it over has its response, as the story says.

        The courier may be quicker: a mail can be sent before that.
        """
        return any(one.kind == "responded" for one in self.record.events)

    @property
    def held(self) -> bool:
        """Whether it is on hold as unknown, until a person decides."""
        ends = [one for one in self.record.events if one.kind in _UNKNOWN_BY]
        return self.record.state is State.UNKNOWN and "due_at" not in ends[-1].detail

    @property
    def standing(self) -> str:
        """Where the message stands, in words."""
        return _STANDINGS[self.record.state](self)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The whole way, each stage lit."""
        return tuple(
            Stage(name, *look(self))
            for name, look in (
                ("request", _request),
                ("outbox", _outbox),
                ("courier", _courier),
                ("server", _server),
                ("end", _end),
            )
        )

    def until(self, moment: datetime) -> str:
        """How long it is till then: "3 s", "2 h 5 min"."""
        seconds = math.ceil(max(0.0, (moment - self.now).total_seconds()))
        return f"{seconds} s" if seconds < MINUTE else duration(seconds)

    @property
    def attempt(self) -> int:
        """The number of the latest attempt, 0 before the first."""
        return self.record.attempts[-1].number if self.record.attempts else 0

    @property
    def times(self) -> str:
        """How often it was tried: "once"."""
        return "once" if self.attempt == 1 else f"{self.attempt} times"

    @property
    def kept_here(self) -> bool:
        """Whether it stayed in the dev inbox."""
        return self.reply == str(KEPT_HERE)

    @property
    def reply(self) -> str:
        """What the server last said of the message, or ""."""
        undone = [one for one in self.record.recipients if one.state is not State.SENT]
        reply = (undone or self.record.recipients)[0].reply
        return str(reply) if reply else ""

    @property
    def shares(self) -> str:
        """How many got it and how many did not, where it differs: "3 got it, …"."""
        got = sum(one.state is State.SENT for one in self.record.recipients)
        others = len(self.record.recipients) - got
        return f"{got} got it, {others} did not: " if got and others else ""


def _pending(sight: Sight) -> str:
    if sight.record.due_at > sight.now:
        return f"waits: due in {sight.until(sight.record.due_at)}"
    if sight.pause is None:
        return "waits for the courier"
    if sight.pause.until is None:
        return "waits: a person paused its lane"
    return f"waits: the next look is in {sight.until(sight.pause.until)}"


def _unknown(sight: Sight) -> str:
    if sight.held:
        return "it may have arrived: a person decides"
    return f"it may have arrived: sent again in {sight.until(sight.record.due_at)}"


_STANDINGS: dict[State, Callable[[Sight], str]] = {
    State.PENDING: _pending,
    State.LEASED: lambda _: "the courier is at it",
    State.SENT: lambda sight: (
        "it stayed in the dev inbox" if sight.kept_here else "the server accepted it"
    ),
    State.FAILED: lambda _: "given up",
    State.UNKNOWN: _unknown,
    State.CANCELLED: lambda _: "called off",
    State.SUPPRESSED: lambda _: "kept back",
    State.PAUSED: lambda _: "waits: a person paused its batch",
    State.MOVING: lambda _: "on its way to another outbox",
}

Look = tuple[Light, str]


def _request(sight: Sight) -> Look:
    if sight.record.origin is None:
        return Light.DONE, "none: a script"
    for event in sight.record.events:
        if event.kind == "responded":
            return Light.DONE, f"answered in {_ms(event.detail['response_seconds'])}"
        if event.kind == "rescued":
            return Light.TROUBLE, "the app died, the mail did not"
    return Light.NOW, "not yet answered"


def _outbox(sight: Sight) -> Look:
    if sight.record.state in (State.PENDING, State.UNKNOWN, State.PAUSED):
        return Light.NOW, sight.standing
    return Light.DONE, "kept on disk"


def _courier(sight: Sight) -> Look:
    if sight.record.state is State.LEASED:
        return Light.NOW, f"attempt {sight.attempt or 1}"
    if not sight.attempt:
        return Light.AHEAD, ""
    if sight.record.state is State.PENDING:
        return Light.AHEAD, "pauses" if sight.pause else f"tried {sight.times}"
    return Light.DONE, f"tried {sight.times}"


def _server(sight: Sight) -> Look:
    state = sight.record.state
    if state is State.LEASED:
        return Light.NOW, "asked"
    if state is State.SENT:
        return Light.DONE, sight.reply
    if state is State.PENDING and sight.pause:
        return Light.TROUBLE, "down"
    if not sight.reply:
        return Light.AHEAD, ""
    return Light.TROUBLE, sight.shares + sight.reply


def _end(sight: Sight) -> Look:
    if sight.record.state is State.SENT:
        return Light.DONE, "stayed here" if sight.kept_here else "Email sent!"
    if sight.unfinished:
        return Light.AHEAD, ""
    return Light.TROUBLE, sight.standing


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
