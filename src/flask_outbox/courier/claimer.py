"""Which due messages a courier claims, and when it looks again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Protocol

from ..outbox.records import Claim
from .context import CourierContext, CourierServices
from .dynamic_lanes import DynamicLane, DynamicLanes
from .in_flight import InFlight, Reservation
from .lane import Lane, Lanes
from .local_queue import LocalQueue
from .recorder import Recorder

MOST_RIDERS = 9
"""How many riders there are for each place at most, however many a transport can use:
all of them are suspect after a crash."""

URGENT_LOOK_SECONDS = 0.05
"""How often a lane is asked for more urgent messages while others are queued: any claim
gets the most urgent, so it puts this off."""


class ClaimServices(CourierServices, Protocol):
    """What the claimer asks of its courier."""

    def take_claimed(self, claims: Sequence[Claim]) -> None:
        """Queue what was claimed, and deliver from there while there are places."""


class Claimer:
    """Claims due messages for one courier, as many as it has places for.

    The lock ``claiming`` is taken during each claim.
    """

    def __init__(
        self,
        courier_id: str,
        context: CourierContext,
        in_flight: InFlight,
        recorder: Recorder,
        courier: ClaimServices,
    ) -> None:
        self.lanes: Lanes = Lanes()
        self.claiming: asyncio.Lock = asyncio.Lock()
        self._id = courier_id
        self._context = context
        self._outbox = context.outbox
        self._in_flight = in_flight
        self._recorder = recorder
        self._courier = courier
        self._extra: Counter[str] = Counter()
        self._full: set[str] = set()
        self._limited: set[str] = set()
        """Lanes whose limits allowed no message when they were last looked at."""
        self.queues: defaultdict[str, LocalQueue] = defaultdict(LocalQueue)
        """The claimed messages of each lane that wait for a place."""
        self._claimed_at: defaultdict[str, float] = defaultdict(float)
        """When the most urgent messages of each lane were last claimed, by
        `time.monotonic`."""
        self.dynamic_lanes: DynamicLanes | None = None
        """The lanes that come and go; set once the courier works."""

    def places(self, name: str) -> int:
        """How many places a lane has, with those lent to it, at most as many as usual,
        and those for riders.
        """
        usual = self._context.concurrency
        if self.dynamic_lanes is not None:
            usual = self.dynamic_lanes.places(name)
        lent = self._extra[name] + self._recorder.kept_apart(name)
        lane = self.lanes.lane_for(name)
        riders = lane.transport.riders if lane is not None else 0
        return usual + min(lent, usual) + min(riders, MOST_RIDERS * usual)

    @contextmanager
    def extra_place(self, name: str) -> Iterator[None]:
        """Lend the lane ``name`` another place during the block.

        It replaces one whose message does not use the transport, so that others need
        not wait.
        """
        self._extra[name] += 1
        try:
            yield
        finally:
            self._extra[name] -= 1

    def any_queued(self) -> bool:
        """Whether messages that are claimed wait for a place."""
        return any(self.queues.values())

    def wants_more(self, name: str) -> bool:
        """Whether so few messages of a lane are in flight that a claim is
        worthwhile.
        """
        worth_it = max(1, self._ahead(name) // 2)
        return self._in_flight.taken(name) + worth_it <= self._most(name)

    def _most(self, name: str) -> int:
        """How many messages of a lane to have in flight, with those that wait for a
        place and those whose ends are still to be written.

        Where claims overlap with that, those take no place from the ones claimed ahead,
        up to as many: else nothing would be left to deliver while a server writes.
        """
        ahead = self._ahead(name)
        unwritten = self._recorder.unwritten(name) if self.overlaps else 0
        return self.places(name) + ahead + min(ahead, unwritten)

    @property
    def overlaps(self) -> bool:
        """Whether to claim while ends are written and messages leave.

        Not on SQLite, which works in this process: they would only hinder each other.
        """
        return not self._outbox.database.embedded

    def _ahead(self, name: str) -> int:
        """How many messages of a lane to claim before there is a place for them.

        None if the lane has limits: what is claimed counts as sent.
        """
        lane = self.lanes.lane_for(name)
        return 0 if lane is None or lane.limits else self.queues[name].ahead()

    def is_full(self, name: str) -> bool:
        """Whether more may be due on a lane than it has places for."""
        return name in self._full

    def wants_early(self, name: str) -> bool:
        """Whether to claim more for a lane before its queue is empty."""
        return self.overlaps and self.is_full(name)

    async def claim_due(self) -> None:
        """Claim due messages where that is worthwhile, and messages that are more
        urgent than some in a queue.
        """
        if self.dynamic_lanes is not None:
            await self.dynamic_lanes.look()
        for name, lane in self._lanes_within_limits():
            if self.wants_more(name):
                await self._claim_next(name, lane)
                continue
            self._full.add(name)
            seconds_since = time.monotonic() - self._claimed_at[name]
            if seconds_since >= URGENT_LOOK_SECONDS:
                await self._claim_urgent(name, lane)

    async def _claim_next(self, name: str, lane: Lane) -> None:
        reserved, claims = await self._claim(name, lane, self._most(name))
        if _all_filled(reserved, claims):
            self._full.add(name)
        else:
            self._full.discard(name)

    async def _claim_urgent(self, name: str, lane: Lane) -> None:
        """Claim messages with a higher priority than some that are queued, if any are:
        a thread that renders may have taken the last one.
        """
        above = self.queues[name].least_priority
        if above is not None:
            most = self._in_flight.taken(name) + self.places(name)
            await self._claim(name, lane, most, above=above)

    async def claim_among(self, ids: Sequence[str]) -> bool:
        """Claim what is due of ``ids``; True if that was all of them.

        On a lane with more due messages than places nothing is claimed, as the outbox
        decides which is next there. If it returns False, call `claim_due` next.
        """
        taken = 0
        for name, lane in self._lanes_within_limits():
            if not self.is_full(name):
                _, claims = await self._claim(name, lane, self._most(name), ids)
                taken += len(claims)
        return taken == len(ids)

    async def seconds_to_next(self) -> float:
        """How long to wait for the next due message, if nothing wakes the courier
        before.
        """
        due: list[float] = []
        if self.dynamic_lanes is not None:
            await self.dynamic_lanes.ask()
            due.append(self.dynamic_lanes.seconds_to_next(self._is_saturated))
        free = [
            (name, lane)
            for name, lane in self._configured_lanes()
            if not self._is_saturated(name)
        ]
        due += [
            await self._due_seconds(name, lane, self._in_flight.full_tags(name))
            for name, lane in free
        ]
        if self.any_queued():
            due.append(URGENT_LOOK_SECONDS)
        return min([self._context.poll_seconds, *due])

    async def anything_due(self, until: float) -> bool:
        """Whether a message is due that may leave before ``until``, by
        `time.monotonic`.
        """
        if self.dynamic_lanes is not None:
            await self.dynamic_lanes.ask()
            if self.dynamic_lanes.any_can_leave(until):
                return True
        for name, own in list(self.lanes.items()):
            lane = self.lanes.lane_for(name) or own
            if not isinstance(own, DynamicLane) and lane.may_deliver_before(until):
                due_at = await self._courier.in_thread(self._outbox.next_due_at, name)
                if due_at is not None and due_at <= self._outbox.clock():
                    return True
        return False

    def forget(self, name: str) -> None:
        """Drop what is kept for the lane ``name``, which has nothing in flight."""
        self.queues.pop(name, None)
        self._extra.pop(name, None)
        self._claimed_at.pop(name, None)
        self._full.discard(name)
        self._limited.discard(name)

    def _is_saturated(self, name: str) -> bool:
        """Whether the next end of an attempt on a lane is what it waits for."""
        if name in self._limited:
            return False
        return self.is_full(name) or not self._in_flight.free(name, self._most(name))

    async def _claim(
        self,
        name: str,
        lane: Lane,
        most: int,
        among: Sequence[str] | None = None,
        above: int | None = None,
    ) -> tuple[Reservation, list[Claim]]:
        """Claim what is due on the lane ``name``, to leave by ``lane``, up to ``most``
        in flight.

        Returns what there was room for, and the claims.
        """
        claims: list[Claim] = []
        async with self.claiming:
            reserved = self._in_flight.reserve(name, most)
            if reserved.places:
                if among is None:
                    self._claimed_at[name] = time.monotonic()
                claims = await self._courier.in_thread(
                    self._claim_reserved, reserved, lane, among, above
                )
        self._courier.take_claimed(claims)
        return reserved, claims

    def _claim_reserved(
        self,
        reserved: Reservation,
        lane: Lane,
        among: Sequence[str] | None,
        above: int | None,
    ) -> list[Claim]:
        """Claim for reserved places. Afterwards each of them is filled or free."""
        claims: list[Claim] = []
        try:
            claims = self._claim_within_limits(reserved, lane, among, above)
        finally:
            self._in_flight.fill(
                reserved,
                [(claim.id, claim.tag, len(claim.content)) for claim in claims],
            )
        name = reserved.lane
        if lane.name == name:
            return claims
        return [replace(claim, lane=lane.name, instead_of=name) for claim in claims]

    def _claim_within_limits(
        self,
        reserved: Reservation,
        lane: Lane,
        among: Sequence[str] | None,
        above: int | None,
    ) -> list[Claim]:
        name, wanted, room = reserved.lane, reserved.places, reserved.room
        if not lane.limits:
            return self._outbox.claim(
                self._id, name, wanted, among, room, reserved.load, above
            )
        claims, allowed_at = self._outbox.claim_within(
            self._id, name, wanted, lane.name, lane.limits, among, room, reserved.load
        )
        lane.allowed_at = time.monotonic() + allowed_at - self._outbox.clock()
        return claims

    def _usable_lanes(self) -> list[tuple[str, Lane]]:
        """Lanes that may deliver now, each with the lane by which its mail leaves."""
        seen = self.dynamic_lanes
        lanes = (
            (name, self.lanes.lane_for(name))
            for name in self.lanes
            if seen is None or seen.may_have_due(name)
        )
        return [(name, lane) for name, lane in lanes if lane is not None]

    def _configured_lanes(self) -> list[tuple[str, Lane]]:
        """Those of `_usable_lanes` that the settings name."""
        return [
            one for one in self._usable_lanes() if not isinstance(one[1], DynamicLane)
        ]

    def _lanes_within_limits(self) -> Iterator[tuple[str, Lane]]:
        """Those of `_usable_lanes` whose limits allow a message now."""
        for name, lane in self._usable_lanes():
            if lane.allowed_at > time.monotonic():
                self._limited.add(name)
            else:
                self._limited.discard(name)
                yield name, lane

    async def _due_seconds(
        self, name: str, lane: Lane, full: Collection[str] = ()
    ) -> float:
        """In how many seconds the next message of lane ``name`` may leave by ``lane``.

        Messages with a tag in ``full`` are left out: their turn comes with a wake-up.
        """
        due_at = await self._courier.in_thread(self._outbox.next_due_at, name, full)
        if due_at is None:
            return inf
        due_seconds = float(due_at) - self._outbox.clock()
        return max(due_seconds, lane.allowed_at - time.monotonic())


def _all_filled(reserved: Reservation, claims: Sequence[Claim]) -> bool:
    """Whether more may be due than there was room for, in all or for one tag."""
    if reserved.load.left_bytes:
        return True
    taken = Counter(claim.tag for claim in claims)
    return len(claims) == reserved.places or any(
        taken[tag] == room for tag, room in reserved.room.items()
    )
