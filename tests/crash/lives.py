"""Lives of couriers, one after another, each of which ends by SIGKILL."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from tests.crash import journal
from tests.crash.child import Child
from tests.crash.jobs import Config, deliver, send_and_deliver
from tests.crash.points import HAND_OVER, POINTS, RARE, Stop

AT_A_TIME = 2
"""Lives at a time: what one leaves, the other takes up, and the next."""

AT_MOST = 3
"""How many times as many lives there are, at most, until each point was hit."""

LIFE_SECONDS = 6.0
"""How long a life takes at most, whatever it is meant to come to."""

EARLY_SECONDS = 0.3
"""How long a life takes at most that ends early, maybe before its courier is ready."""

RECORDS = 30
"""How many attempts a life that ends at random has recorded, at most."""

PASSES = 15
"""How often a life passes its point, at most, until it ends there."""

SENDS = 6
"""Mails that a life sends itself, when it does."""

LOOK_SECONDS = 0.01
"""How often a life's trace is looked at."""


@dataclass(frozen=True)
class Trace:
    """What a courier had come to when it was killed: Message-IDs."""

    begun: frozenset[str]
    """Under its lease with care, and not recorded."""
    through: frozenset[str]
    """Past the final dot, and not recorded."""

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Read what `tests.crash.jobs.leave_traces` left."""
        open_ended: dict[str, set[str]] = {"begun": set(), "through": set()}
        for kind, message_id in journal.read(path):
            if kind == "recorded":
                for ids in open_ended.values():
                    ids.discard(message_id)
            else:
                open_ended[kind].add(message_id)
        return cls(*(frozenset(ids) for ids in open_ended.values()))


@dataclass(frozen=True)
class _Life:
    child: Child
    trace: Path
    ends_at: float
    ends_after: float = math.inf
    """So many records."""
    stop: Stop | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended at its point, or should end now."""
        return (
            self.child.killed
            or time.monotonic() > self.ends_at
            or self._records >= self.ends_after
        )

    @property
    def _records(self) -> int:
        return sum(kind == "recorded" for kind, _ in journal.read(self.trace))


class Lives:
    """Couriers, and processes that send with a courier beside, born to be killed.

    Two of three are killed at a named point, the rest at random.
    """

    def __init__(self, config: Config, accepted: Path, folder: Path) -> None:
        self.traces: list[Trace] = []
        """What each had come to when it was killed."""
        self.points_hit = dict.fromkeys(POINTS, 0)
        """How many were killed at each point."""
        self._config = config
        self._accepted = accepted
        self._folder = folder
        self._dice = random.Random("a life")
        self._lives: list[_Life] = []

    def spend(
        self, kills: int, killed: Callable[[int], None], *, at_each_point: bool
    ) -> None:
        """Return after so many kills; ``killed`` is told the number of each.

        With ``at_each_point`` there are more, up to `AT_MOST` times as many, until each
        point was hit: on a busy machine many lives are over before.
        """
        begun = 0

        def more() -> bool:
            missed = at_each_point and not all(self.points_hit.values())
            return begun < (AT_MOST * kills if missed else kills)

        try:
            while self._lives or more():
                while more() and len(self._lives) < AT_A_TIME:
                    self._lives.append(self._begin(begun))
                    begun += 1
                for life in [life for life in self._lives if life.over]:
                    self._end(life)
                    killed(len(self.traces))
                wait([life.child.end for life in self._lives], LOOK_SECONDS)
        finally:
            for life in self._lives:
                life.child.close()

    def _begin(self, number: int) -> _Life:
        trace = self._folder / f"trace-{number}"
        latest = time.monotonic() + LIFE_SECONDS
        if number % 3:
            stop = self._next_stop()
            child = self._child(trace, stop, sends=stop.point == HAND_OVER)
            return _Life(child, trace, latest, stop=stop)
        child = self._child(trace, None, sends=number % 2 == 0)
        if self._dice.random() < 0.2:
            early = time.monotonic() + self._dice.uniform(0, EARLY_SECONDS)
            return _Life(child, trace, early)
        return _Life(child, trace, latest, self._dice.uniform(0, RECORDS))

    def _next_stop(self) -> Stop:
        """At the point that the fewest lives have ended at, or are going to."""
        ahead = Counter(life.stop.point for life in self._lives if life.stop)
        point = min(POINTS, key=lambda point: self.points_hit[point] + ahead[point])
        return Stop(point, self._dice.randint(1, RARE.get(point, PASSES)))

    def _child(self, trace: Path, stop: Stop | None, *, sends: bool) -> Child:
        if not sends:
            return Child(deliver, self._config, stop, trace)
        subjects = [f"{trace.name}-{one}" for one in range(SENDS)]
        return Child(
            send_and_deliver, self._config, self._accepted, subjects, stop, trace
        )

    def _end(self, life: _Life) -> None:
        if life.child.killed:
            assert life.stop
            self.points_hit[life.stop.point] += 1
        life.child.close()
        self._lives.remove(life)
        self.traces.append(Trace.read(life.trace))
