"""Lives of couriers, one after another, each of which ends by SIGKILL."""

from __future__ import annotations

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

RANDOM_SECONDS = 1.2
"""The longest life of those that end at random, from before the courier is ready."""

POINT_SECONDS = 2.0
"""How long a life may take to come to its point, before it ends at random after all."""

PASSES = 12
"""How often a life passes its point, at most, until it ends there."""

SENDS = 6
"""Mails that a life sends itself, when it does."""


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
    stop: Stop | None
    ends_at: float

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())


class Lives:
    """Couriers, and processes that send with a courier beside, born to be killed.

    Every other one is killed at a named point, the rest at random.
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

    def spend(self, kills: int, killed: Callable[[int], None]) -> None:
        """Return after so many kills; ``killed`` is told the number of each."""
        begun = 0
        try:
            while len(self.traces) < kills:
                while begun < kills and len(self._lives) < AT_A_TIME:
                    self._lives.append(self._begin(begun))
                    begun += 1
                self._end(self._first_to_end())
                killed(len(self.traces))
        finally:
            for life in self._lives:
                life.child.close()

    def _begin(self, number: int) -> _Life:
        trace = self._folder / f"trace-{number}"
        stop, seconds = None, self._dice.uniform(0, RANDOM_SECONDS)
        if number % 2:
            stop, seconds = self._next_stop(), POINT_SECONDS
        sends = stop.point == HAND_OVER if stop else self._dice.random() < 0.5
        if sends:
            subjects = [f"life-{number}-{one}" for one in range(SENDS)]
            arguments = self._config, self._accepted, subjects, stop, trace
            child = Child(send_and_deliver, *arguments)
        else:
            child = Child(deliver, self._config, stop, trace)
        return _Life(child, trace, stop, time.monotonic() + seconds)

    def _next_stop(self) -> Stop:
        """At the point that the fewest lives have ended at, or are going to."""
        ahead = Counter(life.stop.point for life in self._lives if life.stop)
        point = min(POINTS, key=lambda point: self.points_hit[point] + ahead[point])
        passes = 1 if point in RARE else self._dice.randint(1, PASSES)
        return Stop(point, passes)

    def _first_to_end(self) -> _Life:
        """A life that has ended at its point, or else whose time is up."""
        first = min(self._lives, key=lambda life: life.ends_at)
        ended = wait([life.child.end for life in self._lives], first.seconds_left)
        return next((one for one in self._lives if one.child.end in ended), first)

    def _end(self, life: _Life) -> None:
        if life.child.killed:
            assert life.stop
            self.points_hit[life.stop.point] += 1
        life.child.kill()
        life.child.close()
        self._lives.remove(life)
        self.traces.append(Trace.read(life.trace))
