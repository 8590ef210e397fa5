"""Outcome: what came of a worker's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Which couriers worked, why they ended, and what their attempts came to."""

    couriers: tuple[str, ...]
    ended: str
    """``drained``, ``down`` or a signal's name."""
    attempts: Mapping[str, int]
    fault: str | None = None
    """Why what was to be delivered may not all have been."""

    @property
    def summary(self) -> str:
        """What came of it, for people."""
        counts = [f"{count:,} {kind}" for kind, count in self.attempts.items() if count]
        return f"Ended ({self.ended}): {', '.join(counts) or 'no mail'}."


def total(
    outcomes: Sequence[Outcome], ended: str, kinds: Sequence[str], faults: Sequence[str]
) -> Outcome:
    """The sum of ``outcomes``, with further faults; ``ended`` is why all did."""
    faults = [*faults, *(each.fault for each in outcomes if each.fault)]
    return Outcome(
        couriers=tuple(one for each in outcomes for one in each.couriers),
        ended=ended,
        attempts={
            kind: sum(each.attempts[kind] for each in outcomes) for kind in kinds
        },
        fault=" ".join(dict.fromkeys(faults)) or None,
    )
