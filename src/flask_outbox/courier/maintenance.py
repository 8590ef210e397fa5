"""What a courier does beside delivering: renew leases, rescue, probe lanes, prune."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Protocol

from .. import signals
from ..concurrency import call_untraced
from ..errors import StoreError
from ..humanize import counted, duration
from ..outbox import CLOCK_SLACK_SECONDS, LANES, Pruned
from ..outbox.records import FeedbackTaken
from .alerts import LOOK_SECONDS, AlertWatch
from .context import CourierContext, CourierServices
from .in_flight import InFlight
from .lane import Lane, Lanes
from .listener import listen
from .recorder import RETRY_WAIT_SECONDS
from .stats import CourierStats

RENEWALS_PER_LEASE = 4
"""How often a lease is renewed while it lasts: three renewals in a row may fail."""

LOOKS_PER_LEASE = 8
"""How often other couriers' heartbeats are checked: a silent courier is noticed within
one and a quarter leases."""

MATCH_EVERY_SECONDS = 5.0
"""How often reports whose message was not here are looked at again: as soon as the
first is due for that."""

PRUNE_EVERY_SECONDS = 3_600.0
"""Retention is counted in days, so once an hour is enough."""

COUNT_EVERY_SECONDS = 30.0
"""How often a large backlog is counted, so that none who reads the metrics has to."""

_log = logging.getLogger("flask_outbox")


class LoopServices(CourierServices, Protocol):
    """What maintenance asks of its courier."""

    async def write_records(self) -> None:
        """Return once the ends of all attempts so far are written."""

    def remove_idle(self) -> None:
        """Remove messages that no task works on; call it while nothing is being
        claimed.
        """

    def let_go(self) -> None:
        """Send nothing of what was claimed so far."""


class Maintenance:
    """Keeps leases alive, takes over from dead couriers, and cleans up.

    The lock ``claiming`` is taken wherever messages are claimed, so that no new lease
    is mistaken for a stray.
    """

    def __init__(
        self,
        courier_id: str,
        context: CourierContext,
        in_flight: InFlight,
        claiming: asyncio.Lock,
        courier: LoopServices,
    ) -> None:
        self._id = courier_id
        self._context = context
        self._outbox = context.outbox
        self._in_flight = in_flight
        self._claiming = claiming
        self._courier = courier
        self.stats: CourierStats = CourierStats(courier_id, context.retry_window)
        self._lanes = Lanes()
        self._were_down: list[Lane] = []
        self._lease_until = 0.0
        self._epoch = -inf
        """The outbox's clock minus the monotonic one: constant unless the clock is
        set."""
        self._renewing = asyncio.Lock()
        self._operator_acted = asyncio.Event()

    def lease_holds(self) -> bool:
        """Whether the courier's leases certainly hold now."""
        return time.monotonic() < self._lease_until

    async def assure_lease(self) -> None:
        """Renew the courier's leases now if they may have run out."""
        if not self.lease_holds():
            await self._renew()

    async def enroll(self) -> None:
        """Register the courier; retries for as long as the outbox is out of reach."""
        while True:
            try:
                await self._register()
            except StoreError as error:
                self._courier.emit(signals.courier_stalled, error=error)
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                return

    async def resign(self) -> None:
        """Give up the leases that the courier still has, and its registration."""
        await self._courier.in_thread(self._outbox.resign, self._id)
        await self._write_stats()

    async def open(self, lanes: Lanes) -> None:
        """Learn which lanes are down or paused. From now on, events are told to the
        webhook endpoints.
        """
        self._lanes = lanes
        if self._context.webhooks is not None:
            begin = self._context.webhooks.begin
            await self._attempt(partial(self._courier.in_thread, begin))
        await self._attempt(self._learn_which_were_down)
        await self._attempt(self._apply_operator_pauses)
        await self._attempt(partial(self._hasten, deferred=False))

    async def settle(self) -> None:
        """Tell the endpoints of webhooks of all that was recorded, once."""
        if self._context.webhooks is not None:
            await self._attempt(self._context.webhooks.settle)

    async def run(self) -> None:
        """Do each task at its interval, until cancelled."""
        often = self._renewal_seconds
        look = self._context.lease_seconds / LOOKS_PER_LEASE
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_renewing())
            group.create_task(self._every(look, self._rescue))
            group.create_task(self._every(often, self._sweep))
            group.create_task(self._every(often, self._look_at_clock))
            group.create_task(self._every(often, self._write_stats))
            group.create_task(self._every(MATCH_EVERY_SECONDS, self._match_feedback))
            group.create_task(self._every(PRUNE_EVERY_SECONDS, self._prune))
            group.create_task(self._follow_operator())
            for lane in self._were_down:
                group.create_task(self._attempt(partial(self._find_out, lane)))
            if self._context.webhooks is not None:
                group.create_task(self._context.webhooks.run())
            if self._context.alerts is not None:
                group.create_task(self._keep_watching(self._context.alerts))
            if self._context.counts_backlog:
                group.create_task(self._every(COUNT_EVERY_SECONDS, self._count_backlog))
            if self._context.listens:
                group.create_task(self._every(RETRY_WAIT_SECONDS, self._listen))

    async def keep_renewing(self) -> None:
        """Keep the courier's leases alive, until cancelled.

        Begin within an interval after they were given or renewed.
        """
        await asyncio.sleep(self._renewal_seconds)
        await self._every(self._renewal_seconds, self._renew)

    @property
    def _renewal_seconds(self) -> float:
        return self._context.lease_seconds / RENEWALS_PER_LEASE

    async def keep_open(self, lane: Lane) -> None:
        """Probe ``lane`` whenever it is paused, until it is open again."""
        while True:
            await lane.went_down.wait()
            seconds = lane.wait_seconds()
            lane.probe_at = time.monotonic() + seconds
            await self._attempt(partial(self._write_pause, lane, seconds))
            await asyncio.sleep(seconds)
            await self._attempt(partial(self._probe, lane))

    async def _probe(self, lane: Lane) -> None:
        if await lane.probe():
            await self._resume(lane)

    async def _listen(self) -> None:
        await listen(self._outbox.database, self._courier.in_thread, self._notified)

    async def _learn_which_were_down(self) -> None:
        """Learn which lanes the outbox has as down, by this courier or another."""
        down = await self._courier.in_thread(self._outbox.lanes_down)
        self._were_down = [self._lanes[name] for name in down if name in self._lanes]

    async def _find_out(self, lane: Lane) -> None:
        """Probe a lane that was down when this courier began, unless it is known to be
        down by now: it is resumed, or stays down since when it was.
        """
        if lane.reason is not None:
            return
        if await lane.probe():
            await self._write_resumed(lane)
        else:
            lane.went_down.set()

    async def _resume(self, lane: Lane) -> None:
        """Deliver again at once, and retry until the outbox has the lane as resumed."""
        self._courier.emit(signals.lane_resumed, lane=lane.name)
        self._courier.wake()
        await self._write_resumed(lane)

    async def _write_resumed(self, lane: Lane) -> None:
        write = partial(self._courier.in_thread, self._outbox.resume_lane, lane.name)
        while not await self._attempt(write):
            await asyncio.sleep(RETRY_WAIT_SECONDS)
            if lane.reason is not None:
                return

    async def _keep_watching(self, watch: AlertWatch) -> None:
        """Look for alerts at an interval, but not before there was time to deliver."""
        await asyncio.sleep(LOOK_SECONDS)
        await self._every(LOOK_SECONDS, partial(self._tell_alerts, watch))

    async def _tell_alerts(self, watch: AlertWatch) -> None:
        for news in await self._courier.in_thread(watch.look):
            await self._courier.in_thread(watch.mail, news)
            signal, said = news.announcement()
            self._courier.emit(signal, **said)
            await self._courier.in_thread(watch.note_told, news)
            self._courier.wake()

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(duty)
            await asyncio.sleep(seconds)

    async def _attempt(self, duty: Callable[[], Awaitable[object]]) -> bool:
        """Do one task; False if it failed, which is reported and retried at the next
        turn.
        """
        try:
            await duty()
        except StoreError as error:
            self._courier.emit(signals.courier_stalled, error=error)
        except Exception:
            _log.exception(
                "A maintenance task of courier %s failed.",
                self._id,
                extra={"courier": self._id},
            )
        else:
            return True
        return False

    async def _register(self) -> None:
        until = time.monotonic() + self._context.lease_seconds
        await self._courier.in_thread(
            self._outbox.register,
            self._id,
            self._context.engine,
            self._context.lease_seconds,
        )
        self._lease_until = until

    async def _renew(self) -> None:
        async with self._renewing:
            await self._extend()

    async def _extend(self) -> None:
        until = time.monotonic() + self._context.lease_seconds
        if await asyncio.to_thread(  # not in_thread, whose threads may wait for locks
            call_untraced, self._outbox.renew, self._id, self._context.lease_seconds
        ):
            self._lease_until = until
        else:  # others have what it had claimed, or is just claiming
            async with self._claiming:
                self._courier.let_go()
                await self._register()

    async def _rescue(self) -> None:
        """Rescue the messages of dead couriers.

        If this courier's own lease has run out, the outbox was out of reach, so the
        other couriers may be alive too: it renews its lease first and gives them time
        to do the same.
        """
        if not self.lease_holds():
            await self._renew()
            return
        for message_id, courier, state in await self._courier.in_thread(
            lambda: self._outbox.rescue(hold_unknown=self._holds_unknown)
        ):
            self._courier.emit(
                signals.message_rescued,
                message_id=message_id,
                dead=courier,
                state=state,
            )
            self._courier.wake()

    async def _sweep(self) -> None:
        """Return stray leases, and resend *unknown* messages whose wait is over."""
        if not self.lease_holds():
            return
        await self._return_strays()
        if not self._holds_unknown:
            await self._resend_unknown()

    @property
    def _holds_unknown(self) -> bool:
        """Whether an *unknown* message waits for a person to decide."""
        return self._context.policy.unknown_wait_seconds is None

    async def _look_at_clock(self) -> None:
        """Keep due messages due if the clock was set back since the last check.

        Attempts that ended before may still be unwritten, with a next try that the old
        clock timed.
        """
        epoch = self._outbox.clock() - time.monotonic()
        back_seconds = self._epoch - epoch
        if back_seconds > CLOCK_SLACK_SECONDS:
            await self._courier.write_records()
            due = await self._hasten(deferred=True)
            _log.warning(
                "The clock was set back by %s. Made due again: %s.",
                duration(back_seconds),
                counted(due, "message"),
            )
        self._epoch = epoch

    async def _hasten(self, *, deferred: bool) -> int:
        due: int = await self._courier.in_thread(
            partial(self._outbox.hasten, deferred=deferred)
        )
        if due:
            self._courier.wake()
        return due

    async def _resend_unknown(self) -> None:
        for message_id in await self._courier.in_thread(self._outbox.resend_unknown):
            self._courier.emit(signals.message_resent, message_id=message_id)
            self._courier.wake()

    async def _return_strays(self) -> None:
        async with self._claiming:
            self._courier.remove_idle()
            leased: list[str] = await self._courier.in_thread(
                self._outbox.leased_to, self._id
            )
            strays = [one for one in leased if one not in self._in_flight]
            if strays:
                await self._courier.in_thread(
                    self._outbox.return_untried,
                    self._id,
                    strays,
                    "no task was delivering it",
                )
                self._courier.wake()

    def _notified(self, word: str) -> None:
        if word == LANES:
            self._operator_acted.set()
        else:
            self._courier.wake()

    async def _follow_operator(self) -> None:
        while True:
            self._operator_acted.clear()
            await self._attempt(self._apply_operator_pauses)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._context.poll_seconds):
                    await self._operator_acted.wait()

    async def _write_stats(self) -> None:
        await self.stats.write(self._outbox, self._courier.in_thread)

    async def _apply_operator_pauses(self) -> None:
        """Follow the pauses and resumes of lanes that a person has ordered."""
        held: dict[str, str] = await self._courier.in_thread(
            self._outbox.lanes_paused_by_operator
        )
        for name, lane in self._lanes.items():
            resumed = lane.paused_by_operator is not None and name not in held
            lane.paused_by_operator = held.get(name)
            if resumed:
                self._courier.wake()

    async def _write_pause(self, lane: Lane, seconds: float) -> None:
        reason = lane.reason or ""
        self._courier.emit(
            signals.lane_paused, lane=lane.name, reason=reason, seconds=seconds
        )
        until = self._outbox.clock() + seconds
        await self._courier.in_thread(self._outbox.pause_lane, lane.name, until, reason)

    async def _count_backlog(self) -> None:
        found = await asyncio.to_thread(  # not in_thread, for it takes long
            call_untraced, self._outbox.backlog_to_keep, COUNT_EVERY_SECONDS
        )
        if found is not None:
            await self._courier.in_thread(self._outbox.keep_backlog, found)

    async def _match_feedback(self) -> None:
        """Apply reports that came before their message did."""
        taken: FeedbackTaken = await self._courier.in_thread(
            self._outbox.match_feedback
        )
        for signal, said in taken.announcements():
            self._courier.emit(signal, **said)

    async def _prune(self) -> None:
        """Prune, but no event that a webhook endpoint has still to be told of."""
        if self._context.webhooks is not None:
            await self._courier.in_thread(self._context.webhooks.queue_events)
        steps = self._outbox.prune_steps(
            self._context.keep_bodies_seconds,
            self._context.keep_rows_seconds,
            audit_seconds=self._context.keep_audit_seconds,
        )
        pruned = Pruned()
        next_step = partial(self._courier.in_thread, next, steps, None)
        while (step := await next_step()) is not None:
            pruned += step
        if pruned:
            self._courier.emit(
                signals.outbox_pruned, bodies=pruned.bodies, rows=pruned.rows
            )
