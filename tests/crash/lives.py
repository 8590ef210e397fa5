"""Couriers that run one after another until each is killed by SIGKILL."""

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
from tests.crash.jobs import (
    Config,
    deliver,
    send_and_deliver,
    send_one_by_one_and_deliver,
)
from tests.crash.points import ENQUEUEING, POINTS, RARE, Stop

AT_A_TIME = 2
"""Couriers at a time: each takes over what a killed one leaves."""

LIFE_SECONDS = 2.0
"""The longest that a courier works."""

EARLY_SECONDS = 0.3
"""The longest run of a courier that is killed early, perhaps before it is ready."""

RECORDS = 30
"""The most attempts that a randomly killed courier records."""

PASSES = 15
"""How often a courier passes its point, at most, before it is killed there."""

SENDS = 6
"""Mails that a process sends if it also sends."""

LOOK_SECONDS = 0.02
"""How often a trace is read."""


@dataclass(frozen=True)
class Trace:
    """How far a courier had come when it was killed: Message-IDs."""

    begun: frozenset[str]
    """Durably begun and not recorded."""
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


@dataclass
class _Life:
    child: Child
    trace: Path
    ends_at: float = math.inf
    """By default, `LIFE_SECONDS` after it has begun to work."""
    ends_after: float = math.inf
    """So many records."""
    stop: Stop | None = None

    def is_over(self) -> bool:
        """Whether it was killed at its point, or should be killed now."""
        if self.child.heard() and self.ends_at == math.inf:
            self.ends_at = time.monotonic() + LIFE_SECONDS
        return (
            self.child.killed
            or time.monotonic() > self.ends_at
            or (self.ends_after < math.inf and self._records >= self.ends_after)
        )

    @property
    def _records(self) -> int:
        return sum(kind == "recorded" for kind, _ in journal.read(self.trace))


class Lives:
    """Couriers, and processes that also send, which are killed.

    Two of three are killed at a named point, the rest at random.
    """

    def __init__(self, config: Config, accepted: Path, folder: Path) -> None:
        self.traces: list[Trace] = []
        """How far each had come when it was killed."""
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
        """Return after ``kills`` kills; ``killed`` is called with the number of each,
        and sends more mail.

        With ``at_each_point`` the first are one at each point.
        """
        begun = 0
        try:
            for point in POINTS if at_each_point else ():
                self._spend_one_at(point, begun)
                begun += 1
                killed(begun)
            while self._lives or begun < kills:
                while begun < kills and len(self._lives) < AT_A_TIME:
                    self._lives.append(self._begin(begun))
                    begun += 1
                for life in [life for life in self._lives if life.is_over()]:
                    self._end(life)
                    killed(len(self.traces))
                wait([life.child.end for life in self._lives], LOOK_SECONDS)
        finally:
            for life in self._lives:
                life.child.close()

    def _spend_one_at(self, point: str, number: int) -> None:
        """Have a courier killed when it first comes to ``point``.

        It surely does: no other courier takes its mail, and what the one before it left
        is delivered with care.
        """
        life = self._begin_at(Stop(point), number)
        self._lives.append(life)
        life.child.wait_until_killed()
        self._end(life)

    def _begin(self, number: int) -> _Life:
        trace = self._folder / f"trace-{number}"
        if number % 3:
            return self._begin_at(self._next_stop(), number)
        child = self._child(trace, sends=number % 2 == 0)
        if self._dice.random() < 0.2:
            early = time.monotonic() + self._dice.uniform(0, EARLY_SECONDS)
            return _Life(child, trace, early)
        return _Life(child, trace, ends_after=self._dice.uniform(0, RECORDS))

    def _begin_at(self, stop: Stop, number: int) -> _Life:
        trace = self._folder / f"trace-{number}"
        if stop.point == ENQUEUEING:
            job = send_one_by_one_and_deliver
            child = Child(job, self._config, self._accepted, trace.name, stop, trace)
        else:
            child = Child(deliver, self._config, stop, trace)
        return _Life(child, trace, stop=stop)

    def _next_stop(self) -> Stop:
        """At the point that was, or will be, hit least often."""
        ahead = Counter(life.stop.point for life in self._lives if life.stop)
        point = min(POINTS, key=lambda point: self.points_hit[point] + ahead[point])
        return Stop(point, self._dice.randint(1, RARE.get(point, PASSES)))

    def _child(self, trace: Path, *, sends: bool) -> Child:
        if not sends:
            return Child(deliver, self._config, None, trace)
        subjects = [f"{trace.name}-{one}" for one in range(SENDS)]
        return Child(send_and_deliver, self._config, self._accepted, subjects, trace)

    def _end(self, life: _Life) -> None:
        if life.child.killed:
            assert life.stop
            self.points_hit[life.stop.point] += 1
        life.child.close()
        self._lives.remove(life)
        self.traces.append(Trace.read(life.trace))
