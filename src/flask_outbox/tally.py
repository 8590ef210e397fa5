"""Tally: what attempts came to, counted; the numbers behind rates and latencies."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf

BUCKETS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, inf,
)  # fmt: skip
"""The upper bounds, in seconds, of what a histogram tells apart. They are in the
outbox: new ones may only follow."""

TROUBLES = 200
"""Different troubles that one tally keeps apart, so that its size has a bound."""

TROUBLE_LENGTH = 200

_ADDRESS = re.compile(r"<?(?<![^\s<>@,;])[^\s<>@,;]+@[^\s<>@,;]+>?")
_REFERENCE = re.compile(r"\b(?=\w*\d)\w{6,}(?:[-.]\w+)*\b")
"""Queue ids and such: what makes equal replies look different."""


KINDS = ("sent", "deferred", "failed", "unknown", "released")
"""What an attempt can come to for its message."""


class Histogram:
    """How many lengths of time fell into which bucket."""

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self._counts = [*counts]
        self._counts += [0] * (len(BUCKETS) - len(self._counts))

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1

    def __iadd__(self, other: Histogram) -> Histogram:
        self._counts = [
            own + more for own, more in zip(self._counts, other._counts, strict=True)
        ]
        return self

    def counts(self) -> list[int]:
        """For each of `BUCKETS`, how many there are."""
        return list(self._counts)

    def percentile(self, percent: float) -> float | None:
        """What ``percent`` of them do not exceed, in seconds; None without any.

        It is the upper bound of a bucket, so never less than the truth; ``inf`` is
        more than the last bound.
        """
        wanted = ceil(sum(self._counts) * percent / 100)
        for bound, count in zip(BUCKETS, self._counts, strict=True):
            wanted -= count
            if wanted <= 0 and count:
                return bound
        return None


@dataclass(slots=True)
class Trouble:
    """What a server said, or what went wrong, and how often."""

    count: int
    message_id: str
    """The last message that met it."""


@dataclass(slots=True)
class Tally:
    """What became of some attempts."""

    ended: Counter[str] = field(default_factory=Counter)
    """How many came to which of `KINDS`."""
    waits: Histogram = field(default_factory=Histogram)
    """From when a message was due to when it was sent."""
    durations: Histogram = field(default_factory=Histogram)
    """How long each attempt took."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """By its words, without what is only one message's."""

    def meet(self, words: str, message_id: str, times: int = 1) -> None:
        """Count a trouble; one too many to be kept apart is passed over."""
        known = self.troubles.get(words)
        if known is not None:
            known.count += times
            known.message_id = max(known.message_id, message_id)
        elif len(self.troubles) < TROUBLES:
            self.troubles[words] = Trouble(times, message_id)

    def commonest(self, limit: int) -> list[tuple[str, Trouble]]:
        """The troubles that were met most, the most common first."""
        by_count = sorted(self.troubles.items(), key=lambda one: -one[1].count)
        return by_count[:limit]

    def __iadd__(self, other: Tally) -> Tally:
        self.ended += other.ended
        self.waits += other.waits
        self.durations += other.durations
        for words, one in other.troubles.items():
            self.meet(words, one.message_id, one.count)
        return self


def common_words(reply: str) -> str:
    """A reply without addresses and references, so that equal troubles are equal."""
    words = _ADDRESS.sub("<…>", reply[: 2 * TROUBLE_LENGTH])
    return _REFERENCE.sub("…", words)[:TROUBLE_LENGTH]
