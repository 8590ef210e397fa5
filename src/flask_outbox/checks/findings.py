"""The result of a check: findings, with their severity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How severe a finding is, the worst first."""

    BROKEN = "broken"
    """Something does not work for the reader."""
    WARNING = "warning"
    """Some readers see less than intended, or nothing."""
    ADVICE = "advice"
    """It works, but could be better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that a check found in a message."""

    severity: Severity
    what: str
    """The problem, in a sentence."""
    todo: str
    """What to do about it, in a sentence."""


def broken(what: str, todo: str) -> Finding:
    """A finding about something that does not work."""
    return Finding(Severity.BROKEN, what, todo)


def warning(what: str, todo: str) -> Finding:
    """A finding about something that some readers will not see as intended."""
    return Finding(Severity.WARNING, what, todo)


def advice(what: str, todo: str) -> Finding:
    """A finding about something that could be better."""
    return Finding(Severity.ADVICE, what, todo)
