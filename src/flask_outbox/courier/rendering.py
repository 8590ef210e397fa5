"""Rendering templates into mails, ahead of the attempts that send them.

A mail is stored in the outbox before the first byte of it is sent, so that every
retry, by whichever courier, sends the same bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from contextvars import copy_context
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage
from functools import partial
from typing import Any, Protocol

from .. import signals
from ..concurrency import as_exception, cancel_begun
from ..errors import MessageError
from ..message import Message, Templates
from ..message.message import unrendered
from ..message.serialize import Stored, restore
from ..mime import Composed, compose
from ..outbox import Record, Rendition
from ..outbox.records import Claim
from ..trace_context import trace_fields
from .attempt import render_failure, returned_record
from .context import CourierContext, CourierServices
from .local_queue import LocalQueue
from .recorder import Recorder
from .thread_pool import LimitedPool, Stopped, TookTooLong

RENDER_THREADS = 2
"""Templates are Python: two threads that render would only hinder each other. The
second renders while the first is late, since its template may wait for another service.
A slow one gets a thread of its own."""

SET_SECONDS = 0.02
"""How long a thread goes on to the next message before what it has rendered is stored
and sent: long enough to store many together, and what nobody notices."""

SET_BYTES = 4 * 1024 * 1024
"""A set that has so much is stored and sent, too, and none is begun while so much is
ready: what is rendered is larger than what was claimed, and each is in memory."""

LATE_SECONDS = 2 * SET_SECONDS
"""After how long a set is late."""


class Attempts(Protocol):
    """What `Renderer` asks of its `Deliverer`."""

    def fill_places(self, name: str) -> None:
        """Begin what is queued for the lane ``name``."""

    def lend_place(self, name: str) -> AbstractContextManager[None]:
        """Lend a lane another place while one of its messages renders slowly."""

    def take_rendered(self, claim: Claim) -> None:
        """Queue a message that is ready for its attempt."""

    def end_unsent(self, record: Record) -> None:
        """Record what becomes of a message that has nothing to send."""

    def break_off(self, claim: Claim, error: BaseException) -> None:
        """Record what ``error`` makes of a message."""


class Renderer:
    """Renders the queued messages of one courier, in threads that start with the first.

    They are rendered in sets. A set is stored in one transaction, and its messages are
    then ready in their queue. A template that takes long keeps its thread to itself:
    the messages before and behind it do not wait.
    """

    def __init__(
        self,
        context: CourierContext,
        recorder: Recorder,
        courier: CourierServices,
        attempts: Attempts,
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._courier = courier
        self._attempts = attempts
        self._pool: LimitedPool | None = None
        self._outside = copy_context()
        """Where tasks begin: what begins them is another message's attempt."""
        self._tasks: dict[asyncio.Task[None], RenderingSet] = {}
        self._quick: defaultdict[str, set[RenderingSet]] = defaultdict(set)
        """The sets of each lane that are being rendered, without the slow ones."""
        self._unstored_bytes: Counter[str] = Counter()
        """How many bytes of each lane are rendered, and being stored."""

    @property
    def ids(self) -> Iterator[str]:
        """The ids of the messages whose sets are not yet passed on."""
        return (claim.id for one in self._tasks.values() for claim in one.claims)

    def begin(self, name: str, queue: LocalQueue) -> None:
        """Render what is to be rendered in the queue of the lane ``name``, until enough
        of it is ready. Call it again when some of that has left the queue.
        """
        sets = self._quick[name]
        has_thread = len(sets) < RENDER_THREADS and all(one.late for one in sets)
        enough_bytes = SET_BYTES - self._unstored_bytes[name]
        if has_thread and queue.needs_rendering(enough_bytes):
            one = RenderingSet(name, queue)
            sets.add(one)
            self._work_on(one, self._render_ahead(one))

    async def ready(self, claim: Claim) -> Claim | Record:
        """Return ``claim`` with the bytes to send, or what to record instead."""
        queue = LocalQueue()
        queue.push_unrendered(claim)
        one = RenderingSet(claim.own_lane, queue)
        await self._render(one, lambda: None)
        (ready,) = await self._stored(one.take_ended())
        return ready

    async def interrupt(self) -> None:
        """Interrupt the sets that are not passed on; their messages are returned."""
        cancel_begun(self._tasks)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget(self, name: str) -> None:
        """Drop what is kept for the lane ``name``, which has nothing in flight."""
        self._quick.pop(name, None)
        self._unstored_bytes.pop(name, None)

    def close(self) -> None:
        """End the threads once their calls are over."""
        if self._pool is not None:
            self._pool.close()

    def _work_on(self, one: RenderingSet, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=self._outside.copy())
        self._tasks[task] = one
        task.add_done_callback(self._tasks.pop)

    async def _render_ahead(self, one: RenderingSet) -> None:
        loop = asyncio.get_running_loop()
        late = loop.call_later(LATE_SECONDS, self._begin_beside, one)
        with ExitStack() as lending:
            lending.callback(late.cancel)
            try:
                await self._render(one, partial(self._give_way, one, lending))
            except BaseException as error:
                self._break_off(one.take_all(), error)
            finally:
                self._quick[one.lane].discard(one)
        await self._pass_on(one)

    def _begin_beside(self, one: RenderingSet) -> None:
        """Begin another set while this one is late."""
        one.late = True
        self._attempts.fill_places(one.lane)

    def _give_way(self, one: RenderingSet, lending: ExitStack) -> None:
        """Go on without the message that is slow, for as long as ``lending`` lends."""
        self._quick[one.lane].discard(one)
        self._work_on(one, self._pass_on(one))
        lending.enter_context(self._attempts.lend_place(one.lane))

    async def _render(self, one: RenderingSet, slow: Callable[[], object]) -> None:
        limit_seconds = self._context.render_timeout_seconds
        if self._pool is None:
            self._pool = LimitedPool(
                RENDER_THREADS, "outbox-render", limit_seconds + SET_SECONDS
            )
        try:
            await self._pool.run(slow, one.render, self._rendition)
        except TookTooLong:
            one.give_up(
                MessageError(
                    "template",
                    f"it was not rendered within {limit_seconds:g} s "
                    "(OUTBOX_RENDER_TIMEOUT_SECONDS)",
                )
            )

    async def _pass_on(self, one: RenderingSet) -> None:
        """Store what has ended in a set, while the next is rendered, and begin what is
        ready.
        """
        ended = one.take_ended()
        size_bytes = sum(_size_bytes(outcome) for _, outcome in ended)
        self._unstored_bytes[one.lane] += size_bytes
        self._attempts.fill_places(one.lane)
        if not ended:
            return
        try:
            passed_on = await self._stored(ended)
        except BaseException as error:
            self._break_off([claim for claim, _ in ended], error)
        else:
            for ready in passed_on:
                if isinstance(ready, Claim):
                    self._attempts.take_rendered(ready)
                else:
                    self._attempts.end_unsent(ready)
        self._unstored_bytes[one.lane] -= size_bytes
        self._attempts.fill_places(one.lane)

    def _break_off(self, claims: Iterable[Claim], error: BaseException) -> None:
        for claim in claims:
            self._attempts.break_off(claim, error)

    async def _stored(
        self, ended: Sequence[tuple[Claim, Rendition | Exception]]
    ) -> list[Claim | Record]:
        """The claims with the bytes to send, or what to record instead."""
        renditions = [one for _, one in ended if isinstance(one, Rendition)]
        answers = iter(await self._recorder.store_renditions(renditions))
        return [
            self._kept(outcome, next(answers))
            if isinstance(outcome, Rendition)
            else self._failed(claim, outcome)
            for claim, outcome in ended
        ]

    def _kept(
        self, rendition: Rendition, answer: bool | MessageError
    ) -> Claim | Record:
        claim = rendition.claim
        if isinstance(answer, MessageError):
            return self._failed(claim, answer)
        if not answer:
            now = self._context.outbox.clock()
            return returned_record(
                claim, "its lease was lost while it was rendered", now
            )
        self._courier.emit(
            signals.message_rendered,
            message_id=claim.id,
            attempt=claim.attempt,
            template=rendition.template,
            version=rendition.version,
            **trace_fields(claim.trace),
        )
        return replace(claim, content=rendition.content, template=None)

    def _failed(self, claim: Claim, error: Exception) -> Record:
        context = self._context
        return render_failure(claim, error, context.policy, context.outbox.clock())

    def _rendition(self, claim: Claim) -> Rendition:
        assert claim.template is not None
        context, began = self._context, time.perf_counter()
        rendering = render(
            Stored(claim.template, claim.content),
            claim.id,
            context.templates,
            ascii_attachments=context.ascii_attachments,
        )
        return Rendition(
            claim=claim,
            subject=rendering.composed.subject,
            content=rendering.composed.content,
            template=rendering.template,
            version=rendering.version,
            at=context.outbox.clock(),
            seconds=time.perf_counter() - began,
        )


class RenderingSet:
    """Messages of a lane that one thread renders, the most urgent first.

    It takes up another until `SET_SECONDS` have passed, it has `SET_BYTES`, or none is
    queued.
    """

    def __init__(self, lane: str, queue: LocalQueue) -> None:
        self.lane = lane
        self.queue = queue
        self.late = False
        self.claims: list[Claim] = []
        self._outcomes: list[Rendition | Exception] = []
        self._taken = 0

    def render(self, rendition: Callable[[Claim], Rendition]) -> None:
        """Render in this thread; the rest is called in the event loop."""
        end_at, left_bytes = time.monotonic() + SET_SECONDS, SET_BYTES
        while (claim := self.queue.pop_unrendered(self.claims)) is not None:
            outcome = _outcome(rendition, claim)
            self._outcomes.append(outcome)
            left_bytes -= _size_bytes(outcome)
            if left_bytes <= 0 or time.monotonic() >= end_at:
                return

    def give_up(self, error: Exception) -> None:
        """Have ``error`` be the outcome of the message that is being rendered."""
        self._outcomes.append(error)

    def take_ended(self) -> list[tuple[Claim, Rendition | Exception]]:
        """The messages that have an outcome and were not taken before."""
        ended = [*zip(self.claims, self._outcomes, strict=False)][self._taken :]
        self._taken += len(ended)
        return ended

    def take_all(self) -> list[Claim]:
        """All messages that were not taken before."""
        claims = self.claims[self._taken :]
        self._taken += len(claims)
        return claims


def _outcome(
    rendition: Callable[[Claim], Rendition], claim: Claim
) -> Rendition | Exception:
    try:
        return rendition(claim)
    except Stopped:
        raise
    except BaseException as error:
        return as_exception(error)


def _size_bytes(outcome: Rendition | Exception) -> int:
    return len(outcome.content) if isinstance(outcome, Rendition) else 0


@dataclass(frozen=True, slots=True)
class Rendering:
    """What came of a template."""

    template: str
    """The template's name."""
    version: str
    """A short hash of the sources that it was made from."""
    composed: Composed


def render(
    stored: Stored, unique: str, templates: Templates, *, ascii_attachments: bool
) -> Rendering:
    """Render and compose what was stored.

    Raises `MessageError` for what a person must mend, and whatever else the app's own
    functions raise.
    """
    message = _restored(stored)
    template = message.template
    assert template is not None
    rendered = templates.render(template)
    composed = compose(
        message.filled(rendered), ascii_attachments=ascii_attachments, unique=unique
    )
    return Rendering(template.name, rendered.version, composed)


def _restored(stored: Stored) -> Message:
    try:
        return restore(stored)
    except MessageError:
        raise
    except Exception as error:
        raise MessageError(
            "template", f"its stored content cannot be read: {error!r}"
        ) from error


def rendered(
    message: Message | StandardMessage, templates: Templates
) -> Message | StandardMessage:
    """The message with nothing left to be rendered: itself, or a copy."""
    waits = unrendered(message)
    return waits[0].filled(templates.render(waits[1])) if waits else message
