"""Intake: which due messages a courier takes in hand, and when to look again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any

from ..lane import Lane, Lanes
from ..outbox.records import Claim
from .crew import Crew
from .holding import Holding, Reserved


class Intake:
    """Takes due messages in hand for one courier, as many as there are places.

    ``start`` is called with each. ``claiming`` is held while leases are taken.
    """

    def __init__(
        self,
        courier_id: str,
        crew: Crew,
        holding: Holding,
        in_thread: Callable[..., Awaitable[Any]],
        start: Callable[[Claim], None],
    ) -> None:
        self.lanes = Lanes()
        self.claiming = asyncio.Lock()
        self._id = courier_id
        self._crew = crew
        self._outbox = crew.outbox
        self._holding = holding
        self._in_thread = in_thread
        self._start = start
        self._lent: Counter[str] = Counter()
        self._full: set[str] = set()

    def places(self, name: str) -> int:
        """How many messages of a lane to hold: as many more as are lent, up to as many
        again.
        """
        return self._crew.concurrency + min(self._lent[name], self._crew.concurrency)

    @contextmanager
    def lent(self, name: str) -> Iterator[None]:
        """Meanwhile another place of the lane ``name`` stands in for one that a message
        has without using its transport, so that it holds nobody else up.
        """
        self._lent[name] += 1
        try:
            yield
        finally:
            self._lent[name] -= 1

    def is_full(self, name: str) -> bool:
        """Whether more may be due on a lane than there were places for."""
        return name in self._full

    async def take(self) -> None:
        """Take due messages in hand."""
        for name, lane in self._allowed_ways():
            reserved, claims = await self._claim(name, lane)
            if _all_filled(reserved, claims):
                self._full.add(name)
            else:
                self._full.discard(name)

    async def take_among(self, ids: Sequence[str]) -> bool:
        """Take in hand what is due of ``ids``; whether that were all of them.

        On a lane where more is due than there are places nothing is: there the outbox
        says what comes next. So `take` should look at what is left.
        """
        taken = 0
        for name, lane in self._allowed_ways():
            if not self.is_full(name):
                _, claims = await self._claim(name, lane, ids)
                taken += len(claims)
        return taken == len(ids)

    async def seconds_to_next(self) -> float:
        """How long to rest, if nobody wakes us: until the next message comes due."""
        free = [
            (name, lane)
            for name, lane in self._ways()
            if self._holding.free(name, self.places(name))
        ]
        due = [
            await self._due_seconds(name, lane, self._holding.full_tags(name))
            for name, lane in free
        ]
        return min([self._crew.poll_seconds, *due])

    async def anything_due(self) -> bool:
        """Whether a message is due that could leave now."""
        due = [await self._due_seconds(name, lane) for name, lane in self._ways()]
        return min(due, default=inf) <= 0

    async def _claim(
        self, name: str, lane: Lane, among: Sequence[str] | None = None
    ) -> tuple[Reserved, list[Claim]]:
        """Take what is due on the lane ``name`` in hand, to leave by ``lane``.

        Answers what there was room for, and what was taken.
        """
        claims: list[Claim] = []
        async with self.claiming:
            reserved = self._holding.reserve(name, self.places(name))
            if reserved.places:
                claims = await self._in_thread(
                    self._claim_and_hold, reserved, lane, among
                )
        for held in claims:
            self._start(held)
        return reserved, claims

    def _claim_and_hold(
        self, reserved: Reserved, lane: Lane, among: Sequence[str] | None
    ) -> list[Claim]:
        """Claim for reserved places: they are filled or free when this is over."""
        claims: list[Claim] = []
        try:
            claims = self._claim_within_limits(reserved, lane, among)
        finally:
            self._holding.fill(
                reserved, [(held.id, held.tag, len(held.content)) for held in claims]
            )
        name = reserved.lane
        if lane.name == name:
            return claims
        return [replace(held, lane=lane.name, instead_of=name) for held in claims]

    def _claim_within_limits(
        self, reserved: Reserved, lane: Lane, among: Sequence[str] | None
    ) -> list[Claim]:
        name, wanted, room = reserved.lane, reserved.places, reserved.room
        if not lane.limits:
            return self._outbox.claim(
                self._id, name, wanted, among, room, reserved.load
            )
        claims, allowed_at = self._outbox.claim_within(
            self._id, name, wanted, lane.name, lane.limits, among, room, reserved.load
        )
        lane.allowed_at = time.monotonic() + allowed_at - self._outbox.clock()
        return claims

    def _ways(self) -> list[tuple[str, Lane]]:
        """The lanes that may be emptied now, each with the one that its mail takes."""
        ways = ((name, self.lanes.way(name)) for name in self.lanes)
        return [(name, lane) for name, lane in ways if lane is not None]

    def _allowed_ways(self) -> Iterator[tuple[str, Lane]]:
        """Those of them whose limits allow a message at this moment."""
        for name, lane in self._ways():
            if lane.allowed_at <= time.monotonic():
                yield name, lane

    async def _due_seconds(
        self, name: str, lane: Lane, full: Collection[str] = ()
    ) -> float:
        """In how many seconds the next of lane ``name`` may leave by ``lane``.

        What has a tag that is ``full`` waits until we are woken.
        """
        due_at = await self._in_thread(self._outbox.next_due_at, name, full)
        if due_at is None:
            return inf
        due_seconds = float(due_at) - self._outbox.clock()
        return max(due_seconds, lane.allowed_at - time.monotonic())


def _all_filled(reserved: Reserved, claims: Sequence[Claim]) -> bool:
    """Whether more may be due than there was room for, of all or of some tag."""
    if reserved.load.left_bytes:
        return True
    taken = Counter(held.tag for held in claims)
    return len(claims) == reserved.places or any(
        taken[tag] == room for tag, room in reserved.room.items()
    )
