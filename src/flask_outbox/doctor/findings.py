"""What the doctor saw and found, as plain values that any page can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..checks import Severity
from .faults import FAULTS


@dataclass(frozen=True, slots=True)
class Seen:
    """One step of an examination, and what was seen there."""

    step: str
    words: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault that was found."""

    id: str
    """Its name in `FAULTS`, which stays the same."""
    severity: Severity
    what: str
    """What is wrong, in a sentence."""
    saw: str
    """What was seen, in sentences."""
    why: str
    """Why it matters."""
    todo: str
    """What to do, in sentences; "" if ``write`` says all of it."""
    write: str = ""
    """The exact record, setting or command to write, if there is one."""


@dataclass(slots=True)
class Section:
    """What was seen and found of one subject."""

    subject: str
    """``configuration``, ``database``, ``transport`` or ``domain``."""
    name: str = ""
    """Which transport or domain; "" where there is only one."""
    seen: list[Seen] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """Of a transport: the domains for which its provider says that it signs (DKIM)."""

    def note(self, step: str, words: str) -> None:
        """Add what was seen at a step."""
        self.seen.append(Seen(step, words))

    def find(self, id: str, saw: str, todo: str = "", write: str = "") -> None:
        """Add a finding of the fault ``id``."""
        fault = FAULTS[id]
        self.findings.append(
            Finding(id, fault.severity, fault.what, saw, fault.why, todo, write)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and whether it is kept."""

    words: str
    asked_by: tuple[str, ...]
    kept: bool | None
    """None if that cannot be seen from here."""
    because: tuple[str, ...]
    """The ids of the findings that decide."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a domain's mail keeps the bulk senders' rules."""

    domain: str
    rules: tuple[Rule, ...]

    @property
    def kept(self) -> bool | None:
        """Whether all rules are kept; None if that of some cannot be seen."""
        states = {one.kept for one in self.rules}
        if False in states:
            return False
        return None if None in states else True

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        broken = [one.words for one in self.rules if one.kept is False]
        unseen = [one.words for one in self.rules if one.kept is None]
        parts = [f"breaks: {', '.join(broken)}"] if broken else []
        parts += [f"cannot be seen from here: {', '.join(unseen)}"] if unseen else []
        rest = "; ".join(parts) or f"follows all {len(self.rules)} rules"
        return f"Bulk senders' rules, {self.domain} – {rest}."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of an examination."""

    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...]
    """For each domain, whether it keeps the bulk senders' rules."""

    @property
    def findings(self) -> Iterator[Finding]:
        """All findings, section by section."""
        return (one for section in self.sections for one in section.findings)

    @property
    def needs_a_person(self) -> bool:
        """Whether anything was found that is more than advice."""
        return any(one.severity is not Severity.ADVICE for one in self.findings)

    @property
    def outbox_works(self) -> bool:
        """Whether the outbox could be used."""
        return not any(
            one.id in ("outbox-unavailable", "outbox-tables") for one in self.findings
        )
