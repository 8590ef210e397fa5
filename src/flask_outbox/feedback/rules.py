"""What follows from a report: who is suppressed for it, and what is taken at all."""

from __future__ import annotations

from dataclasses import dataclass

from .fate import Fate

BOUNCES, SOFT_BOUNCES = "bounces", "soft_bounces"
COMPLAINTS, REFUSALS = "complaints", "refusals"

GROUNDS = (BOUNCES, SOFT_BOUNCES, COMPLAINTS, REFUSALS)
"""The grounds on which addresses are suppressed without a person."""

TRACKED = frozenset({Fate.OPENED, Fate.CLICKED})
"""What is taken only of mail for which it is asked."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """An app's rules for what is reported of its mail; by default nothing follows."""

    suppress_for: frozenset[str] = frozenset()
    """Those of `GROUNDS` that suppress an address."""
    soft_bounce_count: int = 5
    """How many soft bounces suppress, with nothing delivered between them."""
    soft_bounce_days: int = 14
    """Within how many days."""
    track_tags: frozenset[str] | bool = False
    """The tags of mail of which openings and clicks are taken; True is all mail."""

    @property
    def soft_bounce_seconds(self) -> float:
        """Within how many seconds that many soft bounces suppress."""
        return self.soft_bounce_days * DAY

    def may_take(self, fate: Fate) -> bool:
        """Whether such a report may be taken for any mail."""
        return fate not in TRACKED or bool(self.track_tags)

    def takes(self, fate: Fate, tag: str | None) -> bool:
        """Whether such a report is taken for mail with ``tag``."""
        if fate not in TRACKED or isinstance(self.track_tags, bool):
            return self.may_take(fate)
        return tag in self.track_tags


NO_RULES = FeedbackRules()
"""The rules by which nothing follows from a report but a fate."""
