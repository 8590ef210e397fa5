"""Figures and goals: what samples come to, and how benchmarks take turns."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    """What one way took, in seconds."""

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
    """A ratio to stay within, and what it came to: None where a side is missing."""

    what: str
    at_most: float
    ratio: Ratio | None

    @property
    def verdict(self) -> str:
        """``reached``, ``missed`` or ``not measured``."""
        if self.ratio is None:
            return "not measured"
        return "reached" if self.ratio.median <= self.at_most else "missed"

    def __str__(self) -> str:
        ratio = "-" if self.ratio is None else f"{self.ratio.median:.2f}"
        return f"{self.verdict:13} {ratio:>5} of {self.at_most:.1f}   {self.what}"


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that ``percent`` percent of the samples do not exceed."""
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def in_turns(things: Sequence[T], round_number: int) -> list[T]:
    """All of ``things``, with another one first in each round."""
    first = round_number % len(things)
    return [*things[first:], *things[:first]]
