"""Decisions: for whom one transaction came to what."""

from __future__ import annotations

from collections.abc import Iterable

from ..delivery import Outcome, RecipientReport, Reply, Report


class Decisions:
    """Each recipient's outcome, as soon as it has one; the first one stays."""

    def __init__(self, recipients: Iterable[str]) -> None:
        self._decided: dict[str, RecipientReport | None] = dict.fromkeys(recipients)
        self.left = len(self._decided)
        """How many recipients are undecided."""
        self.left_over: set[str] = set()
        """Who is for another transaction."""

    @property
    def undecided(self) -> list[str]:
        """Who has no outcome yet, in the envelope's order, and is to get one here."""
        return [
            one
            for one, decision in self._decided.items()
            if decision is None and one not in self.left_over
        ]

    @property
    def none_yet(self) -> bool:
        """Whether nobody has an outcome, or is left over."""
        return self.left == len(self._decided)

    def decide(self, recipient: str, outcome: Outcome, reply: Reply) -> None:
        """Give one recipient an outcome."""
        if self._decided[recipient] is None:
            self._decided[recipient] = RecipientReport(outcome, reply)
            self.left -= 1

    def leave_over(self, recipient: str) -> None:
        """Leave one recipient to another transaction."""
        self.left_over.add(recipient)
        self.left -= 1

    def overrule(self, outcome: Outcome, reply: Reply) -> None:
        """Give everyone this outcome, whatever was decided before."""
        self._decided = dict.fromkeys(self._decided, RecipientReport(outcome, reply))
        self.left = 0

    def decide_rest(self, outcome: Outcome, reply: Reply) -> None:
        """Give all others this outcome."""
        for recipient in self.undecided:
            self.decide(recipient, outcome, reply)

    def report(self) -> Report:
        """What it came to, in the envelope's order, once everyone is decided."""
        return Report({one: made for one, made in self._decided.items() if made})
