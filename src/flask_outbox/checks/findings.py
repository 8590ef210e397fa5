"""What a check answers: findings, and how much each of them matters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    BROKEN = "broken"
    """Something does not work for whoever gets the mail."""
    WARNING = "warning"
    """Some will see less than was meant, or not see it at all."""
    ADVICE = "advice"
    """It works, and can be better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found in a message."""

    severity: Severity
    what: str
    """What is the matter, in a sentence."""
    todo: str
    """What to do about it, in a sentence."""


def broken(what: str, todo: str) -> Finding:
    """A finding of something that does not work."""
    return Finding(Severity.BROKEN, what, todo)


def warning(what: str, todo: str) -> Finding:
    """A finding of something that some will not see as it was meant."""
    return Finding(Severity.WARNING, what, todo)


def advice(what: str, todo: str) -> Finding:
    """A finding of something that can be better."""
    return Finding(Severity.ADVICE, what, todo)
