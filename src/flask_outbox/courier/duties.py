"""A courier's duties beside delivering: renew, rescue, keep lanes, prune."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Protocol

from blinker import NamedSignal

from .. import events
from ..errors import StoreError
from ..lane import Lane, Lanes
from ..outbox.doorbell import LANES
from ..outbox.leases import Record
from ..outbox.pruning import Pruned
from ..outbox.rescue import CLOCK_SLACK_SECONDS
from ..words import counted, duration
from .crew import Crew
from .holding import Holding
from .listening import listen
from .pulse import Pulse
from .recorder import RETRY_WAIT_SECONDS

RENEWALS_PER_LEASE = 4
"""Three renewals in a row may fail before a lease is lost."""

LOOKS_PER_LEASE = 8
"""How often other couriers' heartbeats are looked at: one that is silent is noticed
within a lease and a quarter."""

PRUNE_EVERY_SECONDS = 3_600.0
"""Retention is counted in days; an hour is often enough."""

_log = logging.getLogger("flask_outbox")


class Colleague(Protocol):
    """What the duties ask of the courier that they belong to."""

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the outbox without holding up the loop."""

    def emit(self, signal: NamedSignal, **payload: Any) -> None:
        """Tell the app's listeners what happened."""

    def wake(self) -> None:
        """Look for due messages now."""

    def let_go_of_idle(self) -> None:
        """See that somebody works on whatever is in hand, while nothing is claimed."""


class Duties:
    """What a courier does so that nothing is lost when it, or another, dies.

    ``claiming`` is held while leases are taken, so that none looks like a stray.
    """

    def __init__(
        self,
        courier_id: str,
        crew: Crew,
        holding: Holding,
        claiming: asyncio.Lock,
        courier: Colleague,
    ) -> None:
        self._id = courier_id
        self._crew = crew
        self._outbox = crew.outbox
        self._holding = holding
        self._claiming = claiming
        self._courier = courier
        self._pulse = Pulse(courier_id, crew.patience)
        self._lanes = Lanes()
        self._lease_until = 0.0
        self._epoch = -inf
        """The outbox's clock less our steady one: the same while no clock is set."""
        self._renewing = asyncio.Lock()
        self._orders = asyncio.Event()

    def lease_holds(self) -> bool:
        """Whether the courier's leases surely hold at this moment."""
        return time.monotonic() < self._lease_until

    async def assure_lease(self) -> None:
        """Renew the courier's leases now if they may have run out."""
        if not self.lease_holds():
            await self._renew()

    def count(self, record: Record, *, lost: bool) -> None:
        """Take note of an attempt's end for the statistics, unless it was lost."""
        if not lost:
            self._pulse.count(record)

    async def enroll(self) -> None:
        """Announce the courier, however long the outbox is out of reach."""
        while True:
            try:
                await self._register()
            except StoreError as error:
                self._courier.emit(events.courier_stalled, error=error)
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                return

    async def resign(self) -> None:
        """Give up what the courier still holds, and its place."""
        await self._courier.in_thread(self._outbox.resign, self._id)
        await self._write_pulse()

    async def open(self, lanes: Lanes) -> None:
        """Lift the pauses that a courier before us left written down, but no person's.

        Whoever still has a lane paused writes that down again at its next probe.
        """
        self._lanes = lanes
        for name in lanes:
            await self._attempt(
                partial(self._courier.in_thread, self._outbox.resume_lane, name)
            )
        await self._attempt(self._obey)
        await self._attempt(partial(self._hasten, deferred=False))

    async def run(self) -> None:
        """Do each duty at its interval until cancelled."""
        often = self._crew.lease_seconds / RENEWALS_PER_LEASE
        look = self._crew.lease_seconds / LOOKS_PER_LEASE
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_renewing(often))
            group.create_task(self._every(look, self._rescue))
            group.create_task(self._every(often, self._sweep))
            group.create_task(self._every(often, self._look_at_clock))
            group.create_task(self._every(often, self._write_pulse))
            group.create_task(self._every(PRUNE_EVERY_SECONDS, self._prune))
            group.create_task(self._keep_obeying())
            if self._crew.listens:
                group.create_task(self._every(RETRY_WAIT_SECONDS, self._listen))

    async def keep_open(self, lane: Lane) -> None:
        """Probe ``lane`` whenever it is paused, until it is open again."""
        while True:
            await lane.went_down.wait()
            seconds = lane.wait_seconds()
            await self._attempt(partial(self._write_pause, lane, seconds))
            await asyncio.sleep(seconds)
            await self._attempt(partial(self._probe, lane))

    async def _probe(self, lane: Lane) -> None:
        if await lane.probe():
            await self._resume(lane)

    async def _listen(self) -> None:
        await listen(self._outbox.database, self._courier.in_thread, self._rung)

    async def _resume(self, lane: Lane) -> None:
        """Go on at once, and see that the pause does not stay written down."""
        self._courier.emit(events.lane_resumed, lane=lane.name)
        self._courier.wake()
        write = partial(self._courier.in_thread, self._outbox.resume_lane, lane.name)
        while not await self._attempt(write):
            await asyncio.sleep(RETRY_WAIT_SECONDS)
            if lane.reason is not None:
                return

    async def _keep_renewing(self, seconds: float) -> None:
        """Renew at this interval; registering has just given the first lease."""
        await asyncio.sleep(seconds)
        await self._every(seconds, self._renew)

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(duty)
            await asyncio.sleep(seconds)

    async def _attempt(self, duty: Callable[[], Awaitable[object]]) -> bool:
        """Whether a duty was done; what goes wrong is told, and may go better later."""
        try:
            await duty()
        except StoreError as error:
            self._courier.emit(events.courier_stalled, error=error)
        except Exception:
            _log.exception("A duty of courier %s failed.", self._id)
        else:
            return True
        return False

    async def _register(self) -> None:
        until = time.monotonic() + self._crew.lease_seconds
        await self._courier.in_thread(
            self._outbox.register,
            self._id,
            self._crew.engine,
            self._crew.lease_seconds,
        )
        self._lease_until = until

    async def _renew(self) -> None:
        async with self._renewing:
            await self._extend()

    async def _extend(self) -> None:
        until = time.monotonic() + self._crew.lease_seconds
        if await asyncio.to_thread(  # not in_thread, where others may wait for locks
            self._outbox.renew, self._id, self._crew.lease_seconds
        ):
            self._lease_until = until
        else:
            await self._register()

    async def _rescue(self) -> None:
        """Take over what dead couriers left behind.

        Where this courier's own lease ran out, the outbox was out of reach: the others
        may live as well, and get the time to say so.
        """
        if not self.lease_holds():
            await self._renew()
            return
        for message_id, courier, state in await self._courier.in_thread(
            lambda: self._outbox.rescue(hold=self._holds_unknown)
        ):
            self._courier.emit(
                events.message_rescued, message_id=message_id, dead=courier, state=state
            )
            self._courier.wake()

    async def _sweep(self) -> None:
        """Take up what lost answers and lost links left behind."""
        if not self.lease_holds():
            return
        await self._give_back_strays()
        if not self._holds_unknown:
            await self._resend_unknown()

    @property
    def _holds_unknown(self) -> bool:
        """Whether an *unknown* message waits for a person."""
        return self._crew.policy.unknown_wait_seconds is None

    async def _look_at_clock(self) -> None:
        """Keep due what was due, where the clock was put back since the last look."""
        epoch = self._outbox.clock() - time.monotonic()
        back_seconds, self._epoch = self._epoch - epoch, epoch
        if back_seconds > CLOCK_SLACK_SECONDS:
            due = await self._hasten(deferred=True)
            _log.warning(
                "The clock was put back by %s. Due at once all the same: %s.",
                duration(back_seconds),
                counted(due, "message"),
            )

    async def _hasten(self, *, deferred: bool) -> int:
        due: int = await self._courier.in_thread(
            partial(self._outbox.hasten, deferred=deferred)
        )
        if due:
            self._courier.wake()
        return due

    async def _resend_unknown(self) -> None:
        for message_id in await self._courier.in_thread(self._outbox.resend_unknown):
            self._courier.emit(events.message_resent, message_id=message_id)
            self._courier.wake()

    async def _give_back_strays(self) -> None:
        async with self._claiming:
            self._courier.let_go_of_idle()
            leased: list[str] = await self._courier.in_thread(
                self._outbox.leased_to, self._id
            )
            strays = [one for one in leased if one not in self._holding]
            if strays:
                await self._courier.in_thread(
                    self._outbox.give_back,
                    self._id,
                    strays,
                    "its lease was a stray",
                )
                self._courier.wake()

    def _rung(self, word: str) -> None:
        if word == LANES:
            self._orders.set()
        else:
            self._courier.wake()

    async def _keep_obeying(self) -> None:
        while True:
            self._orders.clear()
            await self._attempt(self._obey)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._crew.poll_seconds):
                    await self._orders.wait()

    async def _write_pulse(self) -> None:
        """Write down what the courier's attempts came to: statistics."""
        await self._pulse.write(self._outbox, self._courier.in_thread)

    async def _obey(self) -> None:
        """Take note of the lanes that a person has paused or resumed."""
        held: dict[str, str] = await self._courier.in_thread(self._outbox.held_lanes)
        for name, lane in self._lanes.items():
            resumed = lane.held is not None and name not in held
            lane.held = held.get(name)
            if resumed:
                self._courier.wake()

    async def _write_pause(self, lane: Lane, seconds: float) -> None:
        reason = lane.reason or ""
        self._courier.emit(
            events.lane_paused, lane=lane.name, reason=reason, seconds=seconds
        )
        until = self._outbox.clock() + seconds
        await self._courier.in_thread(self._outbox.pause_lane, lane.name, until, reason)

    async def _prune(self) -> None:
        pruned: Pruned = await self._courier.in_thread(
            self._outbox.prune,
            self._crew.keep_bodies_seconds,
            self._crew.keep_rows_seconds,
        )
        if pruned:
            self._courier.emit(
                events.outbox_pruned, bodies=pruned.bodies, rows=pruned.rows
            )
