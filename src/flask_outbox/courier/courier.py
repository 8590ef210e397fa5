"""The courier: claims due messages, has them delivered, and shuts down in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from blinker import NamedSignal

from .. import signals
from ..concurrency import DaemonExecutor
from ..delivery import State
from ..errors import OutboxError, StoreError
from ..outbox import Record, Row, new_id
from ..outbox.records import Claim, NewMessage, Receipt
from .attempt import end_payload, never_begun_record
from .claimer import Claimer
from .context import CourierContext
from .deliverer import Deliverer
from .dynamic_lanes import DynamicLanes
from .in_flight import InFlight
from .lane import Lane, Lanes
from .local_queue import LocalQueue
from .maintenance import Maintenance
from .recorder import BATCH_WAIT_SECONDS, RETRY_WAIT_SECONDS, Recorder
from .thread_pool import DaemonPool

FLUSH_SECONDS = 2.0
"""How long a stopping courier tries to record what it knows. What it cannot record is
rescued by another courier after its lease."""

DRAIN_SHARE = 0.5
"""The share of the grace time in which a draining courier begins new attempts. The rest
is for finishing them: an attempt cut off after the final dot is *unknown*."""

CLOSE_SECONDS = 1.0
"""How long it then tries to close its connections politely, and after that waits for
calls to the outbox that are still going on."""

STORE_THREADS = 2
"""Two, so that a claim and a record need not wait for each other."""

MIN_WAIT_SECONDS = 0.05
"""The shortest wait between two looks: another courier may hold what is due just
now."""

COMMIT_LOOK_SECONDS = 0.002
"""How often to check whether the app's commit has ended: a commit takes about as
long."""

_log = logging.getLogger("flask_outbox")


@dataclass(slots=True)
class Place:
    """What a courier offers a new message."""

    owner: str | None
    """The courier that delivers it at once; None when it has no free place for it."""
    receipt: Receipt | None = None
    """Set once the message is enqueued."""


class Courier:
    """Claims due messages and delivers them until it is stopped.

    Messages are claimed ahead and wait in one queue for each lane, from which the
    `Deliverer` takes them. The ends of attempts are recorded together.

    `place_for`, `deliver`, `note`, `wake`, `wake_when` and `stop` may be called from
    any thread; the rest runs in the event loop of `run`.
    """

    def __init__(self, context: CourierContext) -> None:
        self.id: str = new_id()
        self.announced: Counter[NamedSignal] = Counter()
        """How often it has sent each signal."""
        self._context = context
        self._outbox = context.outbox
        self._in_flight = InFlight(context.tag_concurrency)
        self._threads: DaemonPool | None = None
        self._recorder = Recorder(self._outbox, self)
        self._claimer = Claimer(self.id, context, self._in_flight, self._recorder, self)
        self._calls: deque[Callable[[], object]] = deque()
        """What other threads want called in the loop, also before there is one."""
        self._drains = False
        self._woken = asyncio.Event()
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def lanes(self) -> Lanes:
        """The courier's lanes; empty until it has started."""
        return self._claimer.lanes

    # From any thread

    @contextmanager
    def place_for(self, new: NewMessage) -> Iterator[Place]:
        """Reserve a place for a new message while the block enqueues it.

        If the courier has a free place, the block gets an ``owner`` to enqueue the
        message for, and sets the ``receipt``: the message is then delivered at once. If
        the block raises, the place is freed again.
        """
        place = Place(self.id if self._reserve_place_for(new) else None)
        try:
            yield place
        finally:
            if place.owner is not None:
                if place.receipt is not None:
                    self._call(self._start_new, new, place.receipt)
                else:
                    self._in_flight.remove(new.id)

    def _reserve_place_for(self, new: NewMessage) -> bool:
        """Reserve a place for a new message that can be delivered at once, if there is
        one.
        """
        own = self.lanes.get(new.lane)
        return (
            own is not None
            and own.accepts_claims
            and not own.limits
            and self._maintenance.lease_holds()
            and self._in_flight.try_add(
                new.id,
                new.lane,
                new.tag,
                self._claimer.places(new.lane),
                len(new.content),
            )
        )

    def deliver(self, ids: Sequence[str], timeout_seconds: float) -> None:
        """Deliver those of these messages that can leave now.

        Returns once their ends are recorded, or after ``timeout_seconds``. The others
        are delivered later, like everything that is due.
        """
        deadline = time.monotonic() + timeout_seconds
        looked: Future[None] = Future()
        self._call(self._look_for, ids, looked)
        with suppress(TimeoutError):
            looked.result(timeout_seconds)
            self._in_flight.wait_until_gone(ids, deadline - time.monotonic())

    def note(self, row: Row) -> None:
        """Add an event to a message's history soon."""
        self._call(self._recorder.note, row)

    def wake(self) -> None:
        """Look for due messages now."""
        self._call(self._wake)

    def wake_when(self, over: Callable[[], bool]) -> None:
        """Look for due messages once ``over()`` is true; it is asked every few
        milliseconds.
        """
        self._call(self._wake_when, over)

    def ask(self, answer: Callable[[], object]) -> bool:
        """Have the event loop call ``answer``, even while the outbox hangs; False if
        there is no loop yet.
        """
        if self._threads is None:
            return False
        self._threads.interrupt(answer)
        return True

    def stop(self, *, drain: bool = False) -> None:
        """Begin to shut down: finish what was begun, return the rest untried.

        With ``drain``, go on delivering until nothing is due or half of the grace time
        is over, or until another call without that.
        """
        self._drains = drain
        self._calls.append(self._stopping.set)
        self.ask(self._make_calls)

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback`` soon, or when it begins."""
        self._calls.append(partial(callback, *args))
        if self._threads is not None:
            self._threads.post(self._make_calls)

    # In the loop

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`, then shut down within the grace time and return.

        ``ready`` is called once the courier accepts messages.
        """
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())
        self._maintenance = Maintenance(
            self.id, self._context, self._in_flight, self._claimer.claiming, self
        )
        self._deliverer = Deliverer(
            self._context,
            self._in_flight,
            self._claimer,
            self._recorder,
            self._maintenance.lease_holds,
            self,
        )
        self._threads = DaemonPool(STORE_THREADS, "outbox-store")
        self._make_calls()
        recording = asyncio.create_task(self._recorder.run())
        working = asyncio.create_task(self._work(ready))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait(
            {working, stopping, recording}, return_when=asyncio.FIRST_COMPLETED
        )
        await self._wind_down(working)
        recording.cancel()
        stopping.cancel()
        self._deliverer.close()
        if self._claimer.dynamic_lanes is not None:
            self._claimer.dynamic_lanes.close()
        await self._threads.close(CLOSE_SECONDS)
        await asyncio.wait([recording])
        for task in (working, recording):
            if not task.cancelled():
                task.result()

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the outbox in a thread, so that the event loop is not blocked."""
        assert self._threads is not None
        return await self._threads.run(function, *args)

    def emit(self, signal: NamedSignal, **payload: Any) -> None:
        """Send a signal to the app's listeners; none can end the courier."""
        self.announced[signal] += 1
        signals.emit(
            signal, self._context.sender, BaseException, courier=self.id, **payload
        )

    async def write_records(self) -> None:
        """Return once the ends of all attempts so far are written."""
        await self._recorder.flush()

    def remove_idle(self) -> None:
        """Remove messages that no task works on, and log each as a fault.

        Call it while nothing is being claimed. The outbox then sees that their leases
        are strays, and they are returned.
        """
        worked_on = {
            one for queue in self._claimer.queues.values() for one in queue.ids()
        }
        worked_on.update(self._recorder.ids, self._deliverer.ids)
        for message_id in self._in_flight.remove_idle(worked_on):
            _log.error(
                "Message %s was leased to courier %s, but no task was delivering it. "
                "It is returned. This is a bug in Flask-Outbox: please report it.",
                message_id,
                self.id,
                extra={"message_id": message_id, "courier": self.id},
            )

    def take_claimed(self, claims: Sequence[Claim]) -> None:
        """Queue what was claimed, and deliver from there while there are places."""
        names = set()
        for claim in claims:
            if claim.suppressed or claim.unreadable or claim.key_missing:
                self._announce_findings(claim)
            if claim.envelope.recipients:
                name = claim.own_lane
                names.add(name)
                self._claimer.queues[name].push(claim)
            else:  # it is finished
                self._in_flight.remove(claim.id)
                self._wake()
        for name in names:
            self._deliverer.fill_places(name)

    def note_recorded(self, records: Sequence[Record], lost: Sequence[Claim]) -> None:
        """Let go of messages whose ends are recorded, or whose leases were lost."""
        ids, lanes, pending = [], set(), False
        for one in records:
            ids.append(one.claim.id)
            lanes.add(one.claim.own_lane)
            pending = pending or one.verdict.state is State.PENDING
        self._in_flight.remove(*ids)
        for one in records:
            if one.claim not in lost:
                self._maintenance.stats.count(one)
        if pending or any(map(self._has_room_for_more, lanes)):
            self._wake()

    def let_go(self) -> None:
        """Send nothing of what was claimed so far. Call it while no lease holds."""
        self._return_all_queued()
        self._deliverer.let_go()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` in a task, which ends when the courier stops."""
        return self._working.create_task(self._log_failure(work))

    async def _log_failure(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            _log.exception(
                "A task of courier %s failed.", self.id, extra={"courier": self.id}
            )

    async def keep_open(self, lane: Lane) -> None:
        """Probe ``lane`` whenever it is paused, until cancelled."""
        await self._maintenance.keep_open(lane)

    def forget(self, name: str) -> None:
        """Drop all that is kept for the lane ``name``, which has nothing in flight."""
        self.lanes.pop(name, None)
        self._claimer.forget(name)
        self._in_flight.forget(name)
        self._deliverer.forget(name)

    async def _work(self, ready: Callable[[], None]) -> None:
        await self._maintenance.enroll()
        self._claimer.lanes = self._context.make_lanes()
        await self._maintenance.open(self.lanes)
        dynamic_lanes = DynamicLanes(self._context, self.lanes, self._in_flight, self)
        self._claimer.dynamic_lanes = dynamic_lanes
        self.emit(signals.courier_started, engine=self._context.engine)
        async with asyncio.TaskGroup() as self._working:
            self._opened.set()
            ready()
            self._working.create_task(self._maintenance.run())
            self._working.create_task(self._keep_claiming())
            for lane in self.lanes.values():
                self._working.create_task(self.keep_open(lane))

    async def _keep_claiming(self) -> None:
        while True:
            self._woken.clear()
            seconds = self._context.poll_seconds
            with self._failing_claims_reported():
                self._return_stuck_queues()
                await self._claim_due()
                seconds = await self._claimer.seconds_to_next()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, MIN_WAIT_SECONDS)):
                    await self._woken.wait()

    async def _claim_due(self) -> None:
        await self._maintenance.assure_lease()
        await self._claimer.claim_due()

    def _look_for(self, ids: Sequence[str], looked: Future[None]) -> None:
        if self._opened.is_set() and not self._stopping.is_set():
            self._working.create_task(self._claim_among(ids, looked))
        else:
            looked.set_result(None)

    async def _claim_among(self, ids: Sequence[str], looked: Future[None]) -> None:
        try:
            with self._failing_claims_reported():
                await self._maintenance.assure_lease()
                if not await self._claimer.claim_among(ids):
                    self._wake()
        finally:
            looked.set_result(None)

    @contextmanager
    def _failing_claims_reported(self) -> Iterator[None]:
        """Report what goes wrong with a claim, and go on."""
        try:
            yield
        except StoreError as error:
            self.emit(signals.courier_stalled, error=error)
        except Exception:
            _log.exception(
                "Courier %s could not claim messages, and will retry.",
                self.id,
                extra={"courier": self.id},
            )

    def _start_new(self, new: NewMessage, receipt: Receipt) -> None:
        claim = _claim_of(new, self.id, receipt)
        if claim is None:
            self._in_flight.remove(new.id)
        else:
            self._in_flight.mark_enqueued(claim.id)
            self.take_claimed([claim])

    def _announce_findings(self, claim: Claim) -> None:
        """Announce what the claim has recorded of its message."""
        if claim.suppressed:
            self.emit(
                signals.message_suppressed,
                message_id=claim.id,
                replies=claim.suppressed,
                finished=not claim.envelope.recipients,
            )
        if claim.unreadable:
            self.emit(signals.message_failed, **end_payload(claim, claim.unreadable))
        if claim.key_missing:
            self.emit(signals.message_returned, **end_payload(claim, claim.key_missing))

    def _return_stuck_queues(self) -> None:
        """Return messages queued for a closed lane, or for one that stalls."""
        for queue in self._claimer.queues.values():
            if queue.stalled() or not all(self._is_open(one) for one in queue.lanes()):
                self._return_queued(queue)

    def _is_open(self, name: str) -> bool:
        lane = self.lanes.get(name)
        return lane is not None and lane.open

    def _return_all_queued(self) -> None:
        for queue in self._claimer.queues.values():
            self._return_queued(queue)

    def _return_queued(self, queue: LocalQueue) -> None:
        now = self._outbox.clock()
        for claim in queue.empty():
            self._recorder.add(never_begun_record(claim, now), BATCH_WAIT_SECONDS)

    def _has_room_for_more(self, name: str) -> bool:
        """Whether to claim for this lane now, or to close it."""
        lane = self.lanes.get(name)
        if lane is not None and lane.ending:
            return True
        if self._claimer.claiming.locked():  # how much that leaves is not known yet
            return True
        return self._claimer.is_full(name) and self._claimer.wants_more(name)

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _wake(self) -> None:
        self._woken.set()

    def _wake_when(self, over: Callable[[], bool]) -> None:
        if over():
            self._wake()
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(COMMIT_LOOK_SECONDS, self._wake_when, over)

    # The end

    async def _wind_down(self, working: asyncio.Task[None]) -> None:
        self._in_flight.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._context.grace_seconds):
                await self._finish(working)
        self._deliverer.begin_nothing()
        working.cancel()
        await asyncio.wait([working])
        self._return_all_queued()
        await self._deliverer.interrupt()
        await _within(FLUSH_SECONDS, self._sign_off())
        closing = [one.transport.close() for one in self.lanes.values()]
        await asyncio.gather(*[_within(CLOSE_SECONDS, one) for one in closing])
        self.emit(signals.courier_stopped)

    async def _finish(self, working: asyncio.Task[None]) -> None:
        """Finish what was begun; when draining, first begin all that is due, and last
        tell of it by webhooks.
        """
        until = time.monotonic() + self._context.grace_seconds * DRAIN_SHARE
        if self._drains:
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await self._opened.wait()
                    await self._until_nothing_is_due(working, until)
        async with self._claimer.claiming:
            working.cancel()
        await asyncio.wait([working])
        self._return_all_queued()
        renewing = asyncio.create_task(self._maintenance.keep_renewing())
        try:
            while len(self._in_flight):
                await self._deliverer.wait(MIN_WAIT_SECONDS)
        finally:
            renewing.cancel()
        if self._drains and self._opened.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await self.write_records()
                    await self._maintenance.settle()

    async def _until_nothing_is_due(
        self, working: asyncio.Task[None], until: float
    ) -> None:
        """Return once nothing is due that could leave before ``until``, and nothing in
        flight, which may become due again: what is just being claimed or returned is in
        neither a queue nor the outbox.
        """
        while self._drains and not working.done():
            seconds = RETRY_WAIT_SECONDS
            with self._failing_claims_reported():
                if not await self._anything_left(until):
                    return
                seconds = MIN_WAIT_SECONDS
            await asyncio.wait([working], timeout=seconds)

    async def _anything_left(self, until: float) -> bool:
        async with self._claimer.claiming:
            if len(self._in_flight):
                return True
            if not await self._claimer.anything_due(until):
                return False
        self._wake()  # whoever enqueued it may have known of no courier any more
        return True

    async def _sign_off(self) -> None:
        await self.write_records()
        await self._maintenance.resign()


async def _within(seconds: float, step: Awaitable[None]) -> None:
    """Await a last step for at most ``seconds``; log what goes wrong."""
    try:
        await asyncio.wait_for(step, seconds)
    except (TimeoutError, OutboxError) as error:
        _log.warning("The courier could not stop cleanly: %r", error)
    except Exception:
        _log.exception("The courier could not stop cleanly.")


def _claim_of(new: NewMessage, owner: str, receipt: Receipt) -> Claim | None:
    """The claim under which ``owner`` delivers what was enqueued for it.

    None for a duplicate, and where nobody may get the message.
    """
    suppressed = receipt.suppressed
    left = tuple([one for one in new.envelope.recipients if one not in suppressed])
    if receipt.duplicate or not left:
        return None
    return Claim(
        id=new.id,
        owner=owner,
        token=1,
        attempt=1,
        crashes=0,
        lane=new.lane,
        envelope=replace(new.envelope, recipients=left, message_id=new.id),
        content=new.content,
        template=new.template,
        give_up_at=new.give_up_at,
        settled=frozenset({State.SUPPRESSED} if suppressed else ()),
        tag=new.tag,
        priority=new.priority,
        hidden=new.hidden,
        trace=new.trace,
    )
