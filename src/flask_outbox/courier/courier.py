"""Courier: claim, run attempts concurrently, wake up, wind down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from blinker import NamedSignal

from .. import events
from ..attempt import attempt, blamed, broken_off, untried
from ..daemon_executor import DaemonExecutor
from ..delivery import State
from ..errors import OVERDUE, OutboxError, StoreError, TransportDown
from ..lane import Lane, Lanes
from ..outbox.hot import Row
from ..outbox.ids import new_id
from ..outbox.leases import Record, begun
from ..outbox.records import Claim, NewMessage
from .crew import Crew
from .daemon_pool import DaemonPool
from .duties import Duties
from .holding import Holding
from .intake import Intake
from .recorder import Recorder
from .rendering import RenderingStep

FLUSH_SECONDS = 2.0
"""How long a stopping courier tries to write down what it knows. What it cannot, its
lease gives to another."""

DRAIN_SHARE = 0.5
"""The part of the grace time in which a courier that drains begins new attempts: the
rest is for their ends, since one that is cut off past the final dot is *unknown*."""

CLOSE_SECONDS = 1.0
"""How long it then tries to say goodbye to its servers."""

STORE_THREADS = 2
"""One for claims and records, one so that renewing a lease never waits behind them."""

REST_SECONDS = 0.05
"""The shortest rest: what is due may be in another courier's hands at this moment."""

COMMIT_LOOK_SECONDS = 0.002
"""How often to look whether the app's commit is over: it takes about as long."""

_log = logging.getLogger("flask_outbox")


class Courier:
    """Claims due messages and delivers them, until it is stopped.

    Each message that it has in hand has a task of its own, whose end is recorded
    whatever went wrong in it; so nothing that befalls one message holds up another.
    `offer`, `take`, `withdraw`, `deliver`, `note`, `wake` and `stop` may be called from
    any thread; the rest happens in the event loop of `run`.
    """

    def __init__(self, crew: Crew) -> None:
        self.id = new_id()
        self._crew = crew
        self._outbox = crew.outbox
        self._holding = Holding(crew.tag_concurrency)
        self._store: DaemonPool | None = None
        self._attempts: dict[asyncio.Task[None], str] = {}
        self._intake = Intake(self.id, crew, self._holding, self.in_thread, self._start)
        self._asked_to_stop = False
        self._drains = False
        self._begins_nothing = False

    @property
    def lanes(self) -> Lanes:
        """Its lanes, once it works."""
        return self._intake.lanes

    # From any thread

    def offer(self, new: NewMessage) -> bool:
        """Whether this courier would deliver a new message at once.

        If True, the message counts as in hand, and `take` or `withdraw` must follow.
        """
        own = self.lanes.get(new.lane)
        return (
            own is not None
            and own.open
            and not own.limits
            and self._duties.lease_holds()
            and self._holding.offer(
                new.id,
                new.lane,
                new.tag,
                self._intake.places(new.lane),
                len(new.content),
            )
        )

    def withdraw(self, message_id: str) -> None:
        """Take an offered message back."""
        self._holding.remove(message_id)

    def take(self, held: Claim) -> None:
        """Deliver a message that was offered and is now kept under our lease."""
        self._call(self._start, held)

    def deliver(self, ids: Sequence[str], timeout_seconds: float) -> None:
        """Deliver what can leave now of these messages.

        Returns once that is recorded, or the time is over. The rest leaves when it can,
        like all that is due.
        """
        deadline = time.monotonic() + timeout_seconds
        looked: Future[None] = Future()
        self._call(self._look_for, ids, looked)
        with suppress(TimeoutError):
            looked.result(timeout_seconds)
            self._holding.wait_until_gone(ids, deadline - time.monotonic())

    def note(self, row: Row) -> None:
        """Add an event to a message's story soon."""
        self._call(self._take_note, row)

    def wake(self) -> None:
        """Look for due messages now."""
        self._call(self._wake)

    def wake_when(self, over: Callable[[], bool]) -> None:
        """Look for due messages once ``over()``, which takes as long as a commit."""
        self._call(self._wake_when, over)

    def stop(self, *, drain: bool = False) -> None:
        """Begin to wind down: finish what was begun, give the rest back.

        With ``drain``, go on with what is due until nothing is, or half the grace time
        is over.
        """
        self._drains = drain
        self._asked_to_stop = True
        if self._store is not None:
            self._store.interrupt(self._stop)

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        if self._store is not None:
            self._store.post(callback, *args)

    # In the loop

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`, then wind down within the grace time and return.

        ``ready`` is called once the courier can be offered messages.
        """
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._opened = asyncio.Event()
        self._one_suspect = asyncio.Lock()
        self._recorder = Recorder(
            self._outbox, self.in_thread, self._recorded, self.emit
        )
        self._rendering = RenderingStep(
            self._crew, self._recorder.keep, self.emit, self._lent
        )
        self._duties = Duties(
            self.id, self._crew, self._holding, self._intake.claiming, self
        )
        self._store = DaemonPool(STORE_THREADS, "outbox-store")
        if self._asked_to_stop:
            self._stop()
        recording = asyncio.create_task(self._recorder.run())
        working = asyncio.create_task(self._work(ready))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait(
            {working, stopping, recording}, return_when=asyncio.FIRST_COMPLETED
        )
        await self._wind_down(working)
        recording.cancel()
        stopping.cancel()
        self._rendering.close()
        self._store.close()
        await asyncio.wait([recording])
        for task in (working, recording):
            if not task.cancelled():
                task.result()

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the outbox without holding up the loop."""
        assert self._store is not None
        return await self._store.run(function, *args)

    def emit(self, signal: NamedSignal, **payload: Any) -> None:
        """Tell the app's listeners what happened."""
        events.emit_from_courier(signal, self._crew.sender, courier=self.id, **payload)

    def let_go_of_idle(self) -> None:
        """See that somebody works on whatever is in hand, while nothing is claimed.

        What is let go of here is a stray, and given back as such.
        """
        worked_on = {*self._attempts.values(), *self._recorder.ids}
        for message_id in self._holding.let_go_of_idle(worked_on):
            _log.error(
                "Message %s was in the hands of courier %s and nobody worked on it: it "
                "is given back. This is a fault of Flask-Outbox: please report it.",
                message_id,
                self.id,
            )

    async def _work(self, ready: Callable[[], None]) -> None:
        await self._duties.enroll()
        self._intake.lanes = self._crew.make_lanes()
        await self._duties.open(self.lanes)
        self.emit(events.courier_started, engine=self._crew.engine)
        async with asyncio.TaskGroup() as self._working:
            self._opened.set()
            ready()
            self._working.create_task(self._duties.run())
            self._working.create_task(self._deliver_what_is_due())
            for lane in self.lanes.values():
                self._working.create_task(self._duties.keep_open(lane))

    async def _deliver_what_is_due(self) -> None:
        while True:
            self._news.clear()
            seconds = self._crew.poll_seconds
            try:
                await self._take_up()
                seconds = await self._intake.seconds_to_next()
            except StoreError as error:
                self.emit(events.courier_stalled, error=error)
            except Exception:
                _log.exception("Courier %s looks again for what is due.", self.id)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, REST_SECONDS)):
                    await self._news.wait()

    async def _take_up(self) -> None:
        await self._duties.assure_lease()
        await self._intake.take()

    def _look_for(self, ids: Sequence[str], looked: Future[None]) -> None:
        if self._opened.is_set() and not self._stopping.is_set():
            self._working.create_task(self._take_among(ids, looked))
        else:
            looked.set_result(None)

    async def _take_among(self, ids: Sequence[str], looked: Future[None]) -> None:
        try:
            await self._duties.assure_lease()
            if not await self._intake.take_among(ids):
                self._wake()
        except StoreError as error:
            self.emit(events.courier_stalled, error=error)
        except Exception:
            _log.exception("Courier %s looks again for what is due.", self.id)
        finally:
            looked.set_result(None)

    def _start(self, held: Claim) -> None:
        self._holding.accept(held.id)
        if held.suppressed:
            self.emit(
                events.message_suppressed,
                message_id=held.id,
                replies=held.suppressed,
                finished=not held.envelope.recipients,
            )
        if held.unreadable:
            self._tell_that_it_failed(held, held.unreadable)
        if not held.envelope.recipients:
            self._holding.remove(held.id)
            self._wake()
            return
        if self._begins_nothing:
            return
        task = asyncio.create_task(self._deliver(held))
        self._attempts[task] = held.id
        task.add_done_callback(self._attempts.pop)

    async def _deliver(self, held: Claim) -> None:
        """Deliver it; whatever goes wrong, it is recorded and let go of."""
        try:
            if held.crashes:
                await self._deliver_suspect(held)
            else:
                await self._attempt(held)
        except BaseException as error:
            self._break_off(held, error)

    @contextmanager
    def _lent(self, lane: str) -> Iterator[None]:
        """Lend ``lane`` another place, and look at once for what may take it."""
        with self._intake.lent(lane):
            self._wake()
            yield

    def _break_off(self, held: Claim, error: BaseException) -> None:
        if isinstance(error, StoreError):
            self.emit(events.courier_stalled, error=error)
        elif not isinstance(error, asyncio.CancelledError):
            _log.error("Message %s was broken off.", held.id, exc_info=error)
        policy, clock = self._crew.policy, self._outbox.clock
        self._recorder.add(broken_off(held, error, policy, clock()))

    async def _deliver_suspect(self, held: Claim) -> None:
        """One suspect at a time, so that the next crash has one explanation."""
        with self._intake.lent(held.waits_on):
            async with self._one_suspect:
                await self._attempt(held)

    async def _attempt(self, held: Claim) -> None:
        lane = self.lanes[held.lane]
        if not lane.open:
            self._give_back(held, lane.why_paused)
        elif not self._duties.lease_holds():
            self._give_back(held, OVERDUE)
        elif not await self._begin(held):
            self.emit(events.lease_lost, message_id=held.id)
            self._holding.remove(held.id)
        else:
            self._tell_that_it_began(held)
            self._recorder.add(await self._try(held, lane))

    async def _try(self, held: Claim, lane: Lane) -> Record:
        clock, policy = self._outbox.clock, self._crew.policy
        ready = await self._rendering.ready(held)
        if isinstance(ready, Record):
            return ready
        try:
            record = await attempt(
                ready, lane.transport, policy, clock, self._duties.lease_holds
            )
        except TransportDown as down:
            if lane.is_its_doing(held.id, down):
                return blamed(held, down, policy, clock())
            lane.pause(down, held.id)
            return untried(held, str(down), clock())
        if record.verdict.attempted:
            lane.served()
        return record

    async def _begin(self, held: Claim) -> bool:
        """Write the beginning down where a crash must be explained, and only there."""
        careful = held.crashes or self._crew.policy.unknown_wait_seconds is None
        if not careful:
            return True
        return bool(await self.in_thread(self._outbox.begin, held))

    def _tell_that_it_began(self, held: Claim) -> None:
        self.emit(
            events.message_began,
            message_id=held.id,
            attempt=held.attempt,
            lane=held.lane,
            instead_of=held.instead_of,
        )
        self._recorder.begin(begun(held, self._outbox.clock()))

    def _tell_that_it_failed(self, held: Claim, reason: str) -> None:
        self.emit(
            events.message_failed,
            message_id=held.id,
            attempt=held.attempt,
            lane=held.lane,
            replies={},
            due_at=None,
            reason=reason,
            dialogue=(),
        )

    def _give_back(self, held: Claim, reason: str) -> None:
        self._recorder.add(untried(held, reason, self._outbox.clock()))

    def _recorded(self, record: Record, lost: bool) -> None:
        """Let go of a message whose attempt is written down, or was another's."""
        self._holding.remove(record.claim.id)
        self._duties.count(record, lost=lost)
        full = self._intake.is_full(record.claim.waits_on)
        if full or record.verdict.state is State.PENDING:
            self._wake()

    def _take_note(self, row: Row) -> None:
        self._recorder.note(row)

    def _wake(self) -> None:
        self._news.set()

    def _wake_when(self, over: Callable[[], bool]) -> None:
        if over():
            self._wake()
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(COMMIT_LOOK_SECONDS, self._wake_when, over)

    def _stop(self) -> None:
        self._stopping.set()

    # The end

    async def _wind_down(self, working: asyncio.Task[None]) -> None:
        self._holding.close()
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(self._crew.grace_seconds):
                await self._finish(working)
        self._begins_nothing = True
        working.cancel()
        await asyncio.wait([working])
        await self._interrupt_attempts()
        await _within(FLUSH_SECONDS, self._sign_off())
        for lane in self.lanes.values():
            await _within(CLOSE_SECONDS, lane.transport.close())
        self.emit(events.courier_stopped)

    async def _finish(self, working: asyncio.Task[None]) -> None:
        """Finish what was begun; first, where that is wanted, begin all that is due."""
        if self._drains:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._crew.grace_seconds * DRAIN_SHARE):
                    await self._opened.wait()
                    await self._until_nothing_is_due(working)
        async with self._intake.claiming:
            working.cancel()
        await asyncio.wait([working])
        while len(self._holding):
            if self._attempts:
                await asyncio.wait(self._attempts, timeout=REST_SECONDS)
            else:  # it is being recorded, or is on its way to us
                await asyncio.sleep(REST_SECONDS)

    async def _until_nothing_is_due(self, working: asyncio.Task[None]) -> None:
        while not working.done():
            if not await self._intake.anything_due():
                return
            await asyncio.wait([working], timeout=REST_SECONDS)

    async def _interrupt_attempts(self) -> None:
        for task in self._attempts:
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)

    async def _sign_off(self) -> None:
        await self._recorder.flush()
        await self._duties.resign()


async def _within(seconds: float, step: Awaitable[None]) -> None:
    """Take a last step, but not for longer than ``seconds``."""
    try:
        await asyncio.wait_for(step, seconds)
    except (TimeoutError, OutboxError) as error:
        _log.warning("The courier could not end tidily: %r", error)
