"""Script: what a mail server under test does at which step of a conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Step(StrEnum):
    """A step of a conversation, when the client has done its part of it."""

    GREETING = "greeting"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    FINAL_DOT = "final dot"


@dataclass(frozen=True)
class Moment:
    """One step as it comes, and its place among the others.

    ``number`` counts the recipients of a message where the step is RCPT, and else how
    often that step came. ``message`` is the number of the message that it belongs to.
    """

    step: Step
    number: int
    message: int
    address: str = ""


@dataclass(frozen=True)
class Accept:
    """Do as a server does to which nothing is wrong."""


@dataclass(frozen=True)
class Answer:
    """Answer with this reply instead."""

    reply: str

    @property
    def says_goodbye(self) -> bool:
        """Whether the server closes the connection after it (RFC 5321 section 3.8)."""
        return self.reply.startswith("421")


@dataclass(frozen=True)
class Close:
    """Cut the connection without a word; after the final dot, the mail is kept."""


@dataclass(frozen=True)
class Stall:
    """Say nothing for so long, then go on as if nothing were."""

    seconds: float


@dataclass(frozen=True)
class Die:
    """Have the worker die that has brought this mail, once the mail is kept."""


@dataclass(frozen=True)
class Refuse:
    """Take no connections."""


Action = Accept | Answer | Close | Stall | Die | Refuse


@dataclass(frozen=True)
class Phase:
    """An action, when it is due, and how often; None is always, or without end."""

    action: Action
    steps: frozenset[Step]
    number: int | None = None
    message: int | None = None
    address: str | None = None
    times: int | None = None

    def is_due(self, moment: Moment) -> bool:
        """Whether the action belongs to this moment."""
        return (
            moment.step in self.steps
            and self.number in (None, moment.number)
            and self.message in (None, moment.message)
            and self.address in (None, moment.address.lower())
        )


@dataclass
class Rule:
    """Phases that follow each other, each as often as it says, or for good."""

    text: str
    phases: Sequence[Phase]
    played: int = 0
    """How often an action was played."""
    _at: int = 0
    _played_here: int = 0

    def action_at(self, moment: Moment) -> Action | None:
        """What is due at this moment; counts it as played."""
        if self._at == len(self.phases) or not self.phases[self._at].is_due(moment):
            return None
        phase = self.phases[self._at]
        self.played += 1
        self._played_here += 1
        if self._played_here == phase.times:
            self._at += 1
            self._played_here = 0
        return phase.action


@dataclass
class Script:
    """Rules that hold side by side, from the moment at which the script is given."""

    rules: Sequence[Rule] = ()
    _came: Counter[Step] = field(default_factory=Counter)

    @property
    def refuses(self) -> bool:
        """Whether connections are refused."""
        return any(Refuse() == one.phases[0].action for one in self.rules)

    @property
    def unplayed(self) -> list[str]:
        """The rules of which nothing was played, though it could have been."""
        return [one.text for one in self.rules if not one.played and not self.refuses]

    def count(self, step: Step) -> int:
        """Count a step that comes; its number."""
        self._came[step] += 1
        return self._came[step]

    def action_at(self, moment: Moment) -> Action:
        """What the first rule says that has something for this moment."""
        for rule in self.rules:
            action = rule.action_at(moment)
            if action is not None:
                return action
        return Accept()
