"""Counters of how attempts ended, for rates and latencies."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf
from operator import sub

from .events import EventKind

BUCKETS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, inf,
)  # fmt: skip
"""The upper bounds of a histogram's buckets, in seconds. Their positions are stored in
the outbox, so new bounds may only be appended."""

TROUBLES = 200
"""The most different troubles in one `Counters`."""

TROUBLE_LENGTH = 200

_ADDRESS = re.compile(r"<?(?<![^\s<>@,;])[^\s<>@,;]+@[^\s<>@,;]+>?")
_REFERENCE = re.compile(r"\b(?=\w*\d)\w{6,}(?:[-.]\w+)*\b")
"""Matches queue ids and the like, which make equal replies look different."""


class Histogram:
    """How many durations fell into which bucket, and their sum in ``seconds``."""

    def __init__(self, counts: Iterable[int] = (), seconds: float = 0.0) -> None:
        self._counts = [*counts]
        self._counts += [0] * (len(BUCKETS) - len(self._counts))
        self.seconds: float = seconds

    def add(self, seconds: float) -> None:
        """Count one duration. One that a changed clock made negative adds nothing to
        the sum.
        """
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += max(0.0, seconds)

    def __iadd__(self, other: Histogram) -> Histogram:
        self._counts = [
            own + more for own, more in zip(self._counts, other._counts, strict=True)
        ]
        self.seconds += other.seconds
        return self

    def __sub__(self, other: Histogram) -> Histogram:
        return Histogram(
            map(sub, self._counts, other._counts),
            max(0.0, self.seconds - other.seconds),
        )

    def counts(self) -> list[int]:
        """The count of each of `BUCKETS`."""
        return list(self._counts)

    def percentile(self, percent: float) -> float | None:
        """The duration that ``percent`` of them do not exceed, in seconds; None if
        empty.

        It is the upper bound of a bucket, so never less than the true value; ``inf``
        means more than the last finite bound.
        """
        wanted = ceil(sum(self._counts) * percent / 100)
        for bound, count in zip(BUCKETS, self._counts, strict=True):
            wanted -= count
            if wanted <= 0 and count:
                return bound
        return None


@dataclass(slots=True)
class Trouble:
    """A reply or problem, and how often it occurred."""

    count: int
    message_id: str
    """The last message that had it; the highest id counts as the last."""


@dataclass(slots=True)
class Counters:
    """How some attempts ended, and what went wrong in them."""

    ended: Counter[EventKind] = field(default_factory=Counter)
    """How many attempts ended in each of `ATTEMPT_ENDS`."""
    waits: Histogram = field(default_factory=Histogram)
    """How long each sent message waited, from when it was due."""
    durations: Histogram = field(default_factory=Histogram)
    """How long each attempt took."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """The troubles by their text, without the parts that belong to one message."""

    def count_trouble(self, words: str, message_id: str, times: int = 1) -> None:
        """Count a trouble; a new one is ignored once there are `TROUBLES`."""
        known = self.troubles.get(words)
        if known is not None:
            known.count += times
            known.message_id = max(known.message_id, message_id)
        elif len(self.troubles) < TROUBLES:
            self.troubles[words] = Trouble(times, message_id)

    def commonest(self, limit: int) -> list[tuple[str, Trouble]]:
        """The most frequent troubles, the most frequent first."""
        by_count = sorted(self.troubles.items(), key=lambda one: -one[1].count)
        return by_count[:limit]

    def __iadd__(self, other: Counters) -> Counters:
        self.ended += other.ended
        self.waits += other.waits
        self.durations += other.durations
        for words, one in other.troubles.items():
            self.count_trouble(words, one.message_id, one.count)
        return self


def normalized_reply(reply: str) -> str:
    """A reply without addresses and references, so that equal troubles have equal
    texts.
    """
    words = _ADDRESS.sub("<…>", reply[: 2 * TROUBLE_LENGTH])
    return _REFERENCE.sub("…", words)[:TROUBLE_LENGTH]
