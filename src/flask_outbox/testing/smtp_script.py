"""Scripts for a test's mail server: what it does at which step, and their grammar.

A script is one rule, or several with ``;`` between them that apply side by side. A rule
is one phase, or several with ``then`` between them that follow each other.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import ScriptError


class Step(StrEnum):
    """A step of a conversation, when the client has completed its part."""

    GREETING = "greeting"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    FINAL_DOT = "final dot"


@dataclass(frozen=True)
class Moment:
    """One occurrence of a step, with its numbers.

    ``number`` counts the recipients of the message if the step is RCPT, and otherwise
    how often the step has occurred. ``message`` is the number of the message that it
    belongs to.
    """

    step: Step
    number: int
    message: int
    address: str = ""


@dataclass(frozen=True)
class Accept:
    """Accept, as a server does without a script."""


@dataclass(frozen=True)
class Answer:
    """Answer with this reply."""

    reply: str

    @property
    def says_goodbye(self) -> bool:
        """Whether the server closes the connection after it (RFC 5321 section 3.8)."""
        return self.reply.startswith("421")


@dataclass(frozen=True)
class Close:
    """Close the connection without a reply; at the final dot, the mail is stored
    before.
    """


@dataclass(frozen=True)
class Stall:
    """Send nothing for so many seconds, then go on normally."""

    seconds: float


@dataclass(frozen=True)
class Die:
    """Kill the worker that sent this mail, once the mail is stored."""


@dataclass(frozen=True)
class Refuse:
    """Refuse connections."""


Action = Accept | Answer | Close | Stall | Die | Refuse


@dataclass(frozen=True)
class Phase:
    """An action, and when and how often it applies.

    None means any number, message or address, or no limit.
    """

    action: Action
    steps: frozenset[Step]
    number: int | None = None
    message: int | None = None
    address: str | None = None
    times: int | None = None

    def is_due(self, moment: Moment) -> bool:
        """Whether the action applies to this moment."""
        return (
            moment.step in self.steps
            and self.number in (None, moment.number)
            and self.message in (None, moment.message)
            and self.address in (None, moment.address.lower())
        )


@dataclass
class Rule:
    """Phases that follow each other. The last one applies without end if it has no
    limit.
    """

    text: str
    phases: Sequence[Phase]
    played: int = 0
    """How often an action was played."""
    _at: int = 0
    _played_here: int = 0

    def action_at(self, moment: Moment) -> Action | None:
        """Return the action for this moment, if any, and count it as played."""
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
    """Rules that apply side by side, from when the script is set."""

    rules: Sequence[Rule] = ()
    _came: Counter[Step] = field(default_factory=Counter)

    @property
    def refuses(self) -> bool:
        """Whether connections are refused."""
        return any(Refuse() == one.phases[0].action for one in self.rules)

    @property
    def unused_rules(self) -> list[str]:
        """The rules that were never used, unless connections are refused."""
        return [one.text for one in self.rules if not one.played and not self.refuses]

    def count(self, step: Step) -> int:
        """Count a step that occurs, and return its number."""
        self._came[step] += 1
        return self._came[step]

    def action_at(self, moment: Moment) -> Action:
        """The action of the first rule that has one for this moment."""
        for rule in self.rules:
            action = rule.action_at(moment)
            if action is not None:
                return action
        return Accept()


GRAMMAR = """\
script   rule; rule; …          rules that hold side by side
rule     phase, then phase, …   phases that follow each other: one that is followed is
                                played once, or as often as it says; the last for good
phase    ACTION [on STEP] [of the 2nd message] [once | twice | 3 times]
ACTION   451  or  451 "4.7.1 Come back later"  or  accept  or  close  or  stall 30 s
         or  slow 200 ms  or  die between accept and record  or  refuse connections
STEP     greeting, EHLO, AUTH, MAIL, RCPT, RCPT bob@example.org, DATA, final dot,
         message (its final dot), command (any of them); the second RCPT, the 3rd AUTH
"""
"""The grammar of scripts, for people."""

_WORD = re.compile(r'"[^"\n]*"|[^\s,;"]+|[,;\n"]')
_NUMBERS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
    "ninth", "tenth",
)  # fmt: skip
_COMMANDS = frozenset(Step) - {Step.GREETING}
_RCPT, _FINAL_DOT = frozenset({Step.RCPT}), frozenset({Step.FINAL_DOT})
_STEPS: dict[tuple[str, ...], frozenset[Step]] = {
    ("greeting",): frozenset({Step.GREETING}),
    ("ehlo",): frozenset({Step.EHLO}),
    ("auth",): frozenset({Step.AUTH}),
    ("mail",): frozenset({Step.MAIL}),
    ("rcpt",): _RCPT,
    ("data",): frozenset({Step.DATA}),
    ("final", "dot"): _FINAL_DOT,
    ("message",): _FINAL_DOT,
    ("command",): _COMMANDS,
}
_SECONDS = {"ms": 0.001, "s": 1.0}
_KNOWN = {
    "accept", "after", "at", "between", "close", "connections", "die", "every", "of",
    "on", "once", "record", "refuse", "slow", "stall", "the", "then", "times", "twice",
    *_NUMBERS, *(word for step in _STEPS for word in step),
}  # fmt: skip


def parse(text: str) -> Script:
    """Parse a script. Raises `ScriptError`, which shows the grammar."""
    words = _WORD.findall(text)
    rules = [
        Rule(" ".join(rule), _phases(rule, text))
        for rule in _split(words, ";", "\n")
        if rule
    ]
    if not rules:
        raise _error(text, "it is empty; write 'accept' to accept everything")
    phases = [phase for rule in rules for phase in rule.phases]
    if len(phases) > 1 and any(one.action == Refuse() for one in phases):
        raise _error(
            text,
            "'refuse connections' must be the only rule; set another script to accept "
            "connections again",
        )
    return Script(rules)


def _split(words: list[str], *ends: str) -> list[list[str]]:
    """Split ``words`` at each word that is one of ``ends``."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word.lower() in ends:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _phases(rule: list[str], text: str) -> list[Phase]:
    *followed, last = [_Reader(words, text) for words in _split(rule, "then")]
    return [*(_phase(one, times=1) for one in followed), _phase(last, times=None)]


def _phase(reader: _Reader, times: int | None) -> Phase:
    action, steps = _action(reader)
    number = message = address = None
    if action == Refuse():
        reader.end()
        return Phase(action, frozenset())
    if reader.takes_one_of("on", "at", "after"):
        reader.takes_one_of("the", "every")
        number = reader.take_number()
        if reader.next == "message":
            number, message = None, number
        steps = _step(reader)
        address = reader.take_address() if steps == _RCPT else None
    if reader.takes("of", "the"):
        message = reader.take_number()
        if message is None or not reader.takes("message"):
            raise reader.error()
    times = reader.take_times() or times
    reader.end()
    if action == Die() and steps != _FINAL_DOT:
        raise _error(reader.text, "a worker can be killed at the final dot only")
    if number and steps == _COMMANDS:
        raise _error(reader.text, "'command' cannot be counted; name one command")
    return Phase(action, steps, number, message, address, times)


def _action(reader: _Reader) -> tuple[Action, frozenset[Step]]:
    """Read an action; return it with the steps that it applies to by default."""
    steps = _COMMANDS if reader.next == "slow" else _FINAL_DOT
    for words, action in _ACTIONS.items():
        if reader.takes(*words):
            return action, steps
    if reader.takes_one_of("stall", "slow"):
        return Stall(reader.take_seconds()), steps
    code = reader.take_matching(r"[245]\d\d")
    if not code:
        raise reader.error()
    text = reader.take_matching(r'".*"').strip('"')
    if code.startswith("2"):
        return Accept(), steps
    return Answer(f"{code} {text or _TEXTS[code[0]]}"), steps


_ACTIONS: dict[tuple[str, ...], Action] = {
    ("accept",): Accept(),
    ("close",): Close(),
    ("die", "between", "accept", "and", "record"): Die(),
    ("refuse", "connections"): Refuse(),
}
_TEXTS = {"4": "4.0.0 Not now, says the script", "5": "5.0.0 No, says the script"}


def _step(reader: _Reader) -> frozenset[Step]:
    for words, steps in _STEPS.items():
        if reader.takes(*words):
            return steps
    raise reader.error()


class _Reader:
    """The words of one phase, read one after another."""

    def __init__(self, words: list[str], text: str) -> None:
        self._words = words[:-1] if words[-1:] == [","] else words
        self._at = 0
        self.text = text

    @property
    def next(self) -> str:
        """The next word in lower case; "" at the end."""
        return self._words[self._at].lower() if self._at < len(self._words) else ""

    def takes(self, *words: str) -> bool:
        """Read these words if they are the next ones."""
        coming = self._words[self._at : self._at + len(words)]
        if tuple(one.lower() for one in coming) != words:
            return False
        self._at += len(words)
        return True

    def takes_one_of(self, *words: str) -> bool:
        """Read the next word if it is one of these."""
        return any(self.takes(word) for word in words)

    def take_matching(self, pattern: str) -> str:
        """Read the next word, in its case, if it matches; otherwise return ""."""
        if not re.fullmatch(pattern, self.next):
            return ""
        self._at += 1
        return self._words[self._at - 1]

    def take_number(self) -> int | None:
        """Read ``second`` or ``2nd``, if the next word is such a number."""
        if self.next in _NUMBERS:
            return _NUMBERS.index(self.take_matching(r"\w+").lower()) + 1
        digits = self.take_matching(r"\d+(st|nd|rd|th)")
        return int(digits[:-2]) if digits else None

    def take_times(self) -> int | None:
        """Read ``once``, ``twice`` or ``3 times``, if that is next."""
        if self.takes("once"):
            return 1
        if self.takes("twice"):
            return 2
        digits = self.take_matching(r"[1-9]\d*")
        if digits and not self.takes("times"):
            raise self.error()
        return int(digits) if digits else None

    def take_seconds(self) -> float:
        """Read ``30 s`` or ``200ms``."""
        number = self.take_matching(r"\d+(\.\d+)?(ms|s)?")
        digits = number.rstrip("ms")
        unit = number[len(digits) :] or self.take_matching("ms|s")
        if not number or not unit:
            raise self.error()
        return float(digits) * _SECONDS[unit]

    def take_address(self) -> str | None:
        """Read an address, if that is next, in lower case."""
        return self.take_matching(r"<?[^@]+@[^@]+").strip("<>").lower() or None

    def end(self) -> None:
        """Raise `ScriptError` unless all words are read."""
        if self.next:
            raise self.error()

    def error(self) -> ScriptError:
        """The error for a next word that may not stand there."""
        if not self.next:
            return _error(self.text, "something is missing at the end of a phase")
        near = difflib.get_close_matches(self.next, _KNOWN - {self.next}, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        word = self._words[self._at]
        return _error(self.text, f"{word!r} is not understood there{guess}")


def _error(text: str, problem: str) -> ScriptError:
    return ScriptError(f"The script {text!r}: {problem}\n\n{GRAMMAR}")
