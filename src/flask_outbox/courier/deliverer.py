"""The deliverer: runs an attempt at each queued message, and has its end recorded."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from .. import signals
from ..concurrency import cancel_begun
from ..errors import OVERDUE, StoreError, TransportDown, raised
from ..outbox import Began, Record
from ..outbox.records import Claim
from ..trace_context import trace_fields
from .attempt import attempt, broken_off_record, poison_record, returned_record
from .claimer import Claimer
from .context import CourierContext, CourierServices
from .in_flight import InFlight
from .lane import Lane
from .local_queue import LocalQueue
from .recorder import BATCH_WAIT_SECONDS, Recorder
from .rendering import Renderer

_log = logging.getLogger("flask_outbox")


class Deliverer:
    """Delivers the queued messages of each lane, as many at a time as it has places.

    For each place that is taken a task delivers one message after another, until none
    is queued. The end of each attempt is recorded whatever went wrong, so trouble with
    one message never holds up another.
    """

    def __init__(
        self,
        context: CourierContext,
        in_flight: InFlight,
        claimer: Claimer,
        recorder: Recorder,
        lease_holds: Callable[[], bool],
        courier: CourierServices,
    ) -> None:
        self._context = context
        self._clock = context.outbox.clock
        self._policy = context.policy
        self._records_beginnings = context.policy.unknown_wait_seconds is None
        """Whether each is recorded before its attempt: a crash is then explained, for
        a person decides what becomes of an *unknown* message."""
        self._in_flight = in_flight
        self._claimer = claimer
        self._recorder = recorder
        self._lease_holds = lease_holds
        self._courier = courier
        self._renderer = Renderer(context, recorder, courier, self)
        self._one_suspect = asyncio.Lock()
        self._outside = copy_context()
        """Where tasks begin: an attempt may begin another, which is not part of it."""
        self._under_way: dict[asyncio.Task[None], Claim] = {}
        self._places: dict[str, int] = {}
        """How many places each lane had when last something was begun on it."""
        self._taken: Counter[str] = Counter()
        """How many of them are taken."""
        self._stopped = False

    @property
    def ids(self) -> Collection[str]:
        """The ids of the messages that are being rendered or delivered."""
        return {*self._renderer.ids, *(one.id for one in self._under_way.values())}

    def fill_places(self, name: str) -> None:
        """Render what is queued for the lane ``name``, and deliver what is ready there
        while it has free places.
        """
        queue = self._claimer.queues[name]
        places = 0 if self._stopped else self._claimer.places(name)
        self._places[name] = places
        while queue.any_ready and self._taken[name] < places:
            self._taken[name] += 1
            claim = queue.pop()
            task = asyncio.create_task(
                self._deliver_from(queue, claim), context=self._outside.copy()
            )
            self._under_way[task] = claim
        if not self._stopped:
            self._renderer.begin(name, queue)

    async def wait(self, timeout_seconds: float) -> None:
        """Wait until something ends, for at most so long."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_seconds)
        else:  # it is being recorded, or is just being enqueued
            await asyncio.sleep(timeout_seconds)

    def begin_nothing(self) -> None:
        """Leave in the queues what is there from now on."""
        self._stopped = True
        self._places = dict.fromkeys(self._places, 0)

    async def interrupt(self) -> None:
        """Interrupt all attempts and renderings, after `begin_nothing`; what is known
        of each is recorded.
        """
        await self._renderer.interrupt()
        self.let_go()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def let_go(self) -> None:
        """Interrupt the attempts that are under way; others may begin."""
        cancel_begun(self._under_way)

    def close(self) -> None:
        """End the threads that render."""
        self._renderer.close()

    def forget(self, name: str) -> None:
        """Drop what is kept for the lane ``name``, which has nothing in flight."""
        self._renderer.forget(name)
        self._taken.pop(name, None)
        self._places.pop(name, None)

    async def _deliver_from(self, queue: LocalQueue, claim: Claim) -> None:
        """Deliver ``claim``, and then what is ready while the lane has this place."""
        task, name = asyncio.current_task(), claim.own_lane
        assert task is not None
        while True:
            await self._deliver(claim, queue)
            queue.count_end()
            has_place = self._taken[name] <= self._places[name]
            if not (queue.any_ready and has_place) or task.cancelling():
                break
            claim = self._under_way[task] = queue.pop()
            self._renderer.begin(name, queue)
            if queue.half_empty and self._claimer.wants_early(name):
                self._courier.wake()
        del self._under_way[task]
        self._taken[name] -= 1
        if queue.any_ready:  # this task may have been cancelled: another goes on
            self.fill_places(name)

    async def _deliver(self, claim: Claim, queue: LocalQueue) -> None:
        """Deliver one message and record how that ended, whatever goes wrong."""
        try:
            if claim.crashes:
                await self._deliver_suspect(claim, queue)
            else:
                await self._attempt(claim, queue)
        except BaseException as error:
            self.break_off(claim, error)

    async def _deliver_suspect(self, claim: Claim, queue: LocalQueue) -> None:
        """Deliver messages that may have caused a crash one at a time.

        The next crash then has only one possible cause.
        """
        with self.lend_place(claim.own_lane):
            async with self._one_suspect:
                await self._attempt(claim, queue)

    @contextmanager
    def lend_place(self, name: str) -> Iterator[None]:
        """Lend a lane another place, and look at once for a message to fill it."""
        try:
            with self._claimer.extra_place(name):
                self.fill_places(name)
                self._courier.wake()
                yield
        finally:
            self.fill_places(name)

    async def _attempt(self, claim: Claim, queue: LocalQueue) -> None:
        lane = self._claimer.lanes.get(claim.lane)
        if lane is None:
            self._return_untried(claim, f"lane {claim.lane} was closed before its turn")
        elif not lane.open:
            self._return_untried(claim, lane.why_paused)
        elif not self._lease_holds():
            self._return_untried(claim, OVERDUE)
        elif (
            self._records_beginnings or claim.crashes
        ) and not await self._record_beginning(claim):
            self._courier.emit(
                signals.lease_lost, message_id=claim.id, **trace_fields(claim.trace)
            )
            self._in_flight.remove(claim.id)
        else:
            self._announce_beginning(claim, self._clock())
            record = await self._try(claim, lane)
            self._recorder.add(record, BATCH_WAIT_SECONDS if queue else 0.0)

    def _return_untried(self, claim: Claim, reason: str) -> None:
        self._recorder.add(returned_record(claim, reason, self._clock()))

    async def _record_beginning(self, claim: Claim) -> bool:
        """Record the beginning, as a crash must be explained; False if the lease is
        lost.
        """
        begin = self._context.outbox.begin
        return bool(await self._courier.in_thread(begin, claim))

    def _announce_beginning(self, claim: Claim, at: float) -> None:
        self._courier.emit(
            signals.message_began,
            message_id=claim.id,
            attempt=claim.attempt,
            lane=claim.lane,
            instead_of=claim.instead_of,
            **trace_fields(claim.trace),
        )
        self._recorder.begin(Began(claim, at))

    async def _try(self, claim: Claim, lane: Lane) -> Record:
        traces = self._context.traces
        try:
            if traces is None:
                return await self._render_and_send(claim, lane)
            with traces.attempt(claim, lane.transport.server_address) as span:
                record = await self._render_and_send(claim, lane)
                span.note_end(record)
                return record
        except TransportDown as down:
            if lane.is_caused_by(claim.id, down):
                return poison_record(claim, down, self._policy, self._clock())
            lane.pause(down, claim.id)
            return returned_record(claim, str(down), self._clock())

    async def _render_and_send(self, claim: Claim, lane: Lane) -> Record:
        if claim.template is not None:
            ready = await self._renderer.ready(claim)
            if isinstance(ready, Record):
                return ready
            claim = ready
        record = await attempt(
            claim, lane.transport, self._policy, self._clock, self._lease_holds
        )
        if record.verdict.attempted:
            lane.note_attempt()
        return record

    def take_rendered(self, claim: Claim) -> None:
        """Queue a message that is ready for its attempt."""
        self._in_flight.resize(claim.id, len(claim.content))
        self._claimer.queues[claim.own_lane].push(claim)

    def end_unsent(self, record: Record) -> None:
        """Record what becomes of a message that has nothing to send."""
        claim, traces = record.claim, self._context.traces
        if record.verdict.attempted:
            self._announce_beginning(claim, record.at)
            if traces is not None:
                with traces.attempt(claim, None) as span:
                    span.note_end(record)
        self._recorder.add(record)
        self._claimer.queues[claim.own_lane].count_end()

    def break_off(self, claim: Claim, error: BaseException) -> None:
        """Record what ``error`` makes of a message."""
        if isinstance(error, StoreError):
            self._courier.emit(signals.courier_stalled, error=error)
        elif not isinstance(error, asyncio.CancelledError):
            _log.error(
                "The attempt at message %s was interrupted by %s.",
                claim.id,
                raised(error),
                exc_info=None if claim.hidden else error,
                extra=claim.log_fields,
            )
        record = broken_off_record(claim, error, self._policy, self._clock())
        self._recorder.add(record)
