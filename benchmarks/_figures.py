"""Figures and goals: what samples come to, and how benchmarks take turns."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    """The times of one way, in seconds."""

    p50: float
    p99: float
    round_p50s: tuple[float, ...]
    """The median of each round."""
    samples: int

    @classmethod
    def of(cls, rounds: Sequence[Sequence[float]]) -> Figures:
        """The figures of the samples of all rounds."""
        together = [sample for samples in rounds for sample in samples]
        return cls(
            p50=statistics.median(together),
            p99=percentile(together, 99),
            round_p50s=tuple(statistics.median(samples) for samples in rounds),
            samples=len(together),
        )

    def beside(self, other: Figures) -> Ratio:
        """How many times as long as ``other`` this took, each round by itself."""
        pairs = zip(self.round_p50s, other.round_p50s, strict=True)
        ratios = [own / others for own, others in pairs]
        return Ratio(*(percentile(ratios, percent) for percent in (50, 25, 75)))

    @property
    def unrest(self) -> float:
        """How far apart the rounds are: 1 if the machine did nothing else."""
        return percentile(self.round_p50s, 75) / percentile(self.round_p50s, 25)


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, and between what the middle half of them lies.

    Whatever slows a round down, slows both sides of its ratio down.
    """

    median: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:8.2f}   ({self.lower:.2f} … {self.upper:.2f})"


@dataclass(frozen=True)
class Goal:
    """A figure and its goal, which it should not exceed or, with ``at_least``, reach.

    ``found`` is None where a side is missing.
    """

    what: str
    limit: float
    found: Ratio | float | None
    at_least: bool = False

    @property
    def value(self) -> float | None:
        """What was found; of a ratio, the median."""
        return self.found.median if isinstance(self.found, Ratio) else self.found

    @property
    def verdict(self) -> str:
        """``reached``, ``missed`` or ``not measured``."""
        if self.value is None:
            return "not measured"
        reached = (
            self.value >= self.limit if self.at_least else self.value <= self.limit
        )
        return "reached" if reached else "missed"

    def __str__(self) -> str:
        value = "-" if self.value is None else f"{self.value:,.2f}"
        bound = "at least" if self.at_least else "at most"
        return f"{self.verdict:13} {value:>8}, {bound} {self.limit:g}   {self.what}"

    def as_json(self) -> dict[str, Any]:
        """The goal with its verdict."""
        bound = "at least" if self.at_least else "at most"
        return {
            "what": self.what,
            "bound": bound,
            "limit": self.limit,
            "value": self.value,
            "middle_half": [self.found.lower, self.found.upper]
            if isinstance(self.found, Ratio)
            else None,
            "verdict": self.verdict,
        }


def ratios_of(ours: Sequence[float], others: Sequence[float]) -> Ratio:
    """The ratios of each round's value to the other's."""
    ratios = [own / other for own, other in zip(ours, others, strict=True)]
    return Ratio(*(percentile(ratios, percent) for percent in (50, 25, 75)))


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that ``percent`` percent of the samples do not exceed."""
    if len(samples) == 1:
        return samples[0]
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def in_turns(things: Sequence[T], round_number: int) -> list[T]:
    """All of ``things``, with another one first in each round."""
    first = round_number % len(things)
    return [*things[first:], *things[:first]]
