"""Lanes of transports that the app finds by name: opened for due mail, closed idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, TypeVar

from .. import signals
from ..config import InboxSettings, TransportSettings
from ..errors import ConfigError, StoreError, TransportDown
from ..outbox.records import LaneRecord
from ..transports.registry import transport_for
from .context import CourierContext, CourierServices
from .in_flight import InFlight
from .lane import FIRST_PAUSE_SECONDS, Lane, Lanes
from .thread_pool import LimitedPool, TookTooLong

T = TypeVar("T")

PLACES_PER_CONCURRENCY = 20
"""All these lanes of a courier have this many times ``OUTBOX_CONCURRENCY`` places, and
there are no more lanes than places."""

TURN_SECONDS = 5.0
"""How long a lane that has mail stays open while names wait that find no place for
theirs."""

ASK_THREADS = 8
"""How many names a courier asks for at a time."""

ASK_SECONDS = 30.0
"""How long the app may take to find a transport."""


class DynamicLane(Lane):
    """The lane of a transport that the app found, for as long as that is fresh."""

    def __init__(
        self, name: str, found: TransportSettings, context: CourierContext
    ) -> None:
        super().__init__(
            name,
            transport_for(found, context.outbox.guard),
            context.lane_pause_cap_seconds,
            found.limits,
        )
        self.found = found
        self.opened_at: float = time.monotonic()
        self.used_at: float = self.opened_at
        self.fresh_until: float = self.opened_at + context.transport_cache_seconds
        self.expired = False
        """Whether the app must be asked again first."""
        self.has_row: bool = bool(found.limits)
        """Whether the outbox may keep something of it."""
        self.keeping_open: asyncio.Task[None] | None = None

    @property
    def accepts_claims(self) -> bool:
        """Whether more messages may be claimed for it now."""
        return self.open and not self.ending and not self.expired

    @property
    def idle_seconds(self) -> float:
        """How long it is kept open after its last use."""
        adapter = self.found.adapter
        return 0.0 if isinstance(adapter, InboxSettings) else adapter.idle_seconds

    @property
    def idle_at(self) -> float:
        """From when on it is idle, unless it is used before."""
        return self.used_at + self.idle_seconds

    def pause(self, error: TransportDown, message_id: str = "") -> None:
        """Pause the lane: ``message_id`` met trouble of its transport."""
        super().pause(error, message_id)
        self.has_row = True

    def note_attempt(self) -> None:
        """Note that a message was attempted, with whatever result."""
        super().note_attempt()
        self.used_at = time.monotonic()


@dataclass(slots=True)
class Unresolved:
    """A name without a transport: its mail waits until the app is asked again."""

    reason: str
    times: int
    until: float
    """By ``time.monotonic()``."""


class LaneServices(CourierServices, Protocol):
    """What `DynamicLanes` asks of its courier."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` in a task, which ends when the courier stops."""

    def keep_open(self, lane: Lane) -> Coroutine[Any, Any, None]:
        """Probe ``lane`` whenever it is paused, until cancelled."""

    def forget(self, name: str) -> None:
        """Drop all that is kept for the lane ``name``, which has nothing in flight."""


class DynamicLanes:
    """Opens lanes in ``lanes`` for names with due mail that the settings do not have.

    No lane, connection or task is kept for any other name.
    """

    def __init__(
        self,
        context: CourierContext,
        lanes: Lanes,
        in_flight: InFlight,
        services: LaneServices,
    ) -> None:
        self._context = context
        self._outbox = context.outbox
        self._lanes = lanes
        self._configured = frozenset(lanes)
        self._in_flight = in_flight
        self._services = services
        self._most = PLACES_PER_CONCURRENCY * context.concurrency
        self._open: dict[str, DynamicLane] = {}
        self._next_due: Mapping[str, float] = {}
        self._asking: set[str] = set()
        self._unresolved: dict[str, Unresolved] = {}
        self._paused: set[str] = set()
        """Names that a person paused."""
        self._paused_in_outbox: set[str] = set()
        """Names that the outbox has as paused for another reason."""
        self._served_at: dict[str, float] = {}
        """When the lane of a name with pending mail was last closed."""
        self._pool: LimitedPool | None = None

    # -------------------------------------------------------- for the claimer

    def places(self, name: str) -> int:
        """How many places the lane ``name`` has: fewer where many are open."""
        if name in self._configured:
            return self._context.concurrency
        share = self._most // max(1, len(self._open))
        return max(1, min(self._context.concurrency, share))

    def may_have_due(self, name: str) -> bool:
        """Whether a message may be due on the lane ``name``."""
        return name in self._configured or self._due_at(name) <= self._outbox.clock()

    def any_can_leave(self, until: float) -> bool:
        """Whether a message is due on a name that has a lane by which it may leave
        before ``until``, or may get one.
        """
        now = self._outbox.clock()
        return any(
            at <= now and name not in self._unresolved and name not in self._paused
            for name, at in self._pending_names()
            if (lane := self._open.get(name)) is None or lane.may_deliver_before(until)
        )

    def seconds_to_next(self, is_full: Callable[[str], bool]) -> float:
        """In how many seconds to look again, unless something wakes the courier.

        Not for a lane that ``is_full``, or is paused: their turn comes with a wake-up.
        """
        now, clock = time.monotonic(), self._outbox.clock()
        wait = [
            one.idle_seconds if self._in_flight.taken(one.name) else one.idle_at - now
            for one in self._open.values()
            if self._due_at(one.name) > clock
        ]
        wait += [
            one.fresh_until - now for one in self._open.values() if not one.expired
        ]
        turns = [self._turn_ends_at(one) for one in self._open.values()]
        next_turn = min(turns, default=inf) - now
        for name, due_at in self._pending_names():
            if name in self._asking or name in self._paused:
                continue
            seconds = due_at - clock
            lane = self._open.get(name)
            if lane is None and name in self._unresolved:
                seconds = max(seconds, self._unresolved[name].until - now)
            elif lane is None and seconds <= 0:  # it waits for a place
                seconds = next_turn
            elif lane is not None and (not lane.accepts_claims or is_full(name)):
                seconds = inf
            elif lane is not None:
                seconds = max(seconds, lane.allowed_at - now)
            wait.append(seconds)
        return max(0.0, min(wait, default=inf))

    # --------------------------------------------------------------- the look

    async def look(self) -> None:
        """Open lanes for names with due mail, and close those that are over."""
        if self._context.find_transport.none:
            return
        began = time.monotonic()
        await self.ask()
        await self._read_pauses()
        self._unresolved = self._with_mail(self._unresolved)
        self._served_at = self._with_mail(self._served_at)
        self._end_turns(len(self._waiting()))
        for lane in list(self._open.values()):
            await self._close_if_over(lane)
        for name in [*self._expired(began), *self._waiting()]:
            self._ask_for(name)

    async def ask(self) -> None:
        """Learn which names have pending mail, and from when on it is due."""
        if not self._context.find_transport.none:
            self._next_due = await self._services.in_thread(
                self._outbox.next_due_by_lane
            )

    def close(self) -> None:
        """End the threads in which the app is asked."""
        if self._pool is not None:
            self._pool.close()

    async def _read_pauses(self) -> None:
        """Learn which names are paused, and forget those that wait for nothing."""
        found: Sequence[LaneRecord] = await self._services.in_thread(
            self._outbox.paused_lanes
        )
        pauses = {one.name: one.paused_by for one in found}
        self._paused = {name for name, by in pauses.items() if by == "person"}
        self._paused_in_outbox = {
            name
            for name, by in pauses.items()
            if by == "trouble" and name not in self._configured
        }
        for name in self._paused_in_outbox - self._next_due.keys() - self._open.keys():
            await self._services.in_thread(self._outbox.forget_lane, name)

    def _with_mail(self, names: dict[str, T]) -> dict[str, T]:
        return {name: one for name, one in names.items() if name in self._next_due}

    def _due_at(self, name: str) -> float:
        return self._next_due.get(name, inf)

    def _pending_names(self) -> list[tuple[str, float]]:
        return [one for one in self._next_due.items() if one[0] not in self._configured]

    def _waiting(self) -> list[str]:
        """Names with due mail and no lane, those first that were served long ago."""
        now, clock = time.monotonic(), self._outbox.clock()
        names = [
            name
            for name, due_at in self._pending_names()
            if due_at <= clock
            and name not in self._open
            and name not in self._asking
            and name not in self._paused
            and (name not in self._unresolved or self._unresolved[name].until <= now)
        ]
        return sorted(
            names, key=lambda name: (self._served_at.get(name, 0.0), self._due_at(name))
        )

    def _expired(self, now: float) -> list[str]:
        """Names with due mail whose lane had expired when this look began.

        However long a look takes, it claims by what was fresh then.
        """
        clock = self._outbox.clock()
        for one in self._open.values():
            one.expired = one.fresh_until <= now
        return [
            name
            for name, one in self._open.items()
            if one.expired and not one.ending and self._due_at(name) <= clock
        ]

    def _end_turns(self, waiting: int) -> None:
        """Let go of as many lanes as names wait for: of those that have nothing to do,
        and then of those that are open for the longest time.
        """
        staying = sum(not one.ending for one in self._open.values())
        room = self._most - staying - len(self._asking)
        now = time.monotonic()
        over = [one for one in self._open.values() if self._turn_ends_at(one) <= now]
        over.sort(key=self._turn_ends_at)
        for lane in over[: max(0, waiting - room)]:
            lane.ending = True

    def _turn_ends_at(self, lane: DynamicLane) -> float:
        """From when on it gives way to a name that waits; at once without mail."""
        if lane.ending:
            return inf
        return lane.opened_at + TURN_SECONDS if self._has_mail(lane) else -inf

    def _has_mail(self, lane: DynamicLane) -> bool:
        due = self._due_at(lane.name) <= self._outbox.clock()
        return due or bool(self._in_flight.taken(lane.name))

    async def _close_if_over(self, lane: DynamicLane) -> None:
        if self._in_flight.taken(lane.name):
            return
        idle = lane.idle_at <= time.monotonic() and not self._has_mail(lane)
        if idle or lane.ending:
            await self._close(lane)

    async def _close(self, lane: DynamicLane) -> None:
        del self._open[lane.name]
        self._services.forget(lane.name)
        self._served_at[lane.name] = time.monotonic()
        if lane.keeping_open is not None:
            lane.keeping_open.cancel()
        self._services.spawn(lane.transport.close())
        if lane.has_row:
            await self._services.in_thread(self._outbox.forget_lane, lane.name)

    # ------------------------------------------------------------- one name

    def _ask_for(self, name: str) -> None:
        has_room = len(self._open) + len(self._asking) < self._most
        if name not in self._asking and (name in self._open or has_room):
            self._asking.add(name)
            self._services.spawn(self._find(name))

    async def _find(self, name: str) -> None:
        try:
            found = await self._resolved(name)
            if isinstance(found, str):
                await self._postpone(name, found)
            else:
                await self._use(name, found)
        except StoreError as error:
            self._services.emit(signals.courier_stalled, error=error)
        finally:
            self._asking.discard(name)
            self._services.wake()

    async def _resolved(self, name: str) -> TransportSettings | str:
        """What the app finds for ``name``, or why it finds nothing."""
        if self._pool is None:
            self._pool = LimitedPool(ASK_THREADS, "outbox-resolver", ASK_SECONDS)
        try:
            return await self._pool.run(_nothing, self._context.resolve, name)
        except TookTooLong:
            return f"the transport resolver took over {ASK_SECONDS:g} s for {name!r}"
        except ConfigError as error:
            return str(error)
        except Exception as error:
            return f"the transport resolver failed for {name!r}: {error!r}"

    async def _postpone(self, name: str, reason: str) -> None:
        before = self._unresolved.get(name)
        times = before.times + 1 if before else 0
        longest = self._context.lane_pause_cap_seconds
        seconds = min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(times, 32))
        self._unresolved[name] = Unresolved(reason, times, time.monotonic() + seconds)
        if name in self._open:
            self._open[name].ending = True
        until = self._outbox.clock() + seconds
        await self._services.in_thread(self._outbox.pause_lane, name, until, reason)
        if before is None or before.reason != reason:
            self._services.emit(
                signals.lane_paused, lane=name, reason=reason, seconds=seconds
            )
        self._paused_in_outbox.add(name)

    async def _use(self, name: str, found: TransportSettings) -> None:
        present = self._open.get(name)
        if present is not None and present.found == found:
            seconds = self._context.transport_cache_seconds
            present.fresh_until = time.monotonic() + seconds
            present.expired = False
            return
        if present is not None:
            present.ending = True
            return
        if self._unresolved.pop(name, None) is not None:
            self._services.emit(signals.lane_resumed, lane=name)
        if name in self._paused_in_outbox:
            await self._services.in_thread(self._outbox.forget_lane, name)
        lane = DynamicLane(name, found, self._context)
        self._open[name] = lane
        self._lanes[lane.name] = lane
        lane.keeping_open = self._services.spawn(self._services.keep_open(lane))


def _nothing() -> None:
    """Nothing is done about a call that takes long, until its time is over."""
