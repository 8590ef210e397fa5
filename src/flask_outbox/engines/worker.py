"""A worker: one courier in this thread, from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import signals
from ..concurrency import new_loop
from ..courier import Courier, CourierContext
from ..courier.webhook_dispatcher import WebhookDispatcher
from ..events import ATTEMPT_ENDS, EventKind
from ..log_context import about
from .shutdown import signals_wake_loop


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """Which couriers worked, why they ended, and how their attempts ended."""

    couriers: tuple[str, ...]
    ended: str
    """``drained``, ``down`` or the name of a signal."""
    attempts: Mapping[EventKind, int]
    fault: str | None = None
    """Why some of the messages may not have been delivered."""

    @property
    def summary(self) -> str:
        """The result in one line."""
        counts = [f"{count:,} {kind}" for kind, count in self.attempts.items() if count]
        return f"Ended ({self.ended}): {', '.join(counts) or 'no mail'}."


def total_result(
    results: Sequence[WorkerResult], ended: str, faults: Sequence[str]
) -> WorkerResult:
    """Add up ``results``, with further faults; ``ended`` is why all of them ended."""
    faults = [*faults, *(each.fault for each in results if each.fault)]
    return WorkerResult(
        couriers=tuple(one for each in results for one in each.couriers),
        ended=ended,
        attempts={
            kind: sum(each.attempts[kind] for each in results) for kind in ATTEMPT_ENDS
        },
        fault=" ".join(dict.fromkeys(faults)) or None,
    )


LOOK_SECONDS = 0.1
"""How often a worker checks whether all is delivered: other couriers deliver too."""


class Worker:
    """Runs one courier in this thread. A signal handler may call `stop`."""

    def __init__(self, context: CourierContext, app: object) -> None:
        self._context = context
        self._app = app
        self._courier = Courier(context)
        self._paused: set[str] = set()
        self._down: dict[str, str] = {}
        self._why_down: str | None = None
        self._ended = ""
        self._is_told = False
        self._cancel_settling: Callable[[], object] | None = None

    def run(self, *, until_drained: bool) -> WorkerResult:
        """Deliver until told to stop, then shut down.

        With ``until_drained``, also stop when no due message can leave, for instance
        because its transport stays down or a person paused it; last, send the webhooks
        that are due. In that mode an unreachable outbox raises `OutboxUnavailable`;
        otherwise the worker waits for it.
        """
        with about(self._app):
            return self._run(until_drained=until_drained)

    def _run(self, *, until_drained: bool) -> WorkerResult:
        if not until_drained:
            _run(self._work())
        elif self._anything_due():
            _run(self._work_until_drained())
        else:
            self._ended = "drained"
        if until_drained and self._context.webhooks is not None:
            _run(self._settle(self._context.webhooks))
        announced = self._courier.announced
        attempts = {kind: announced[end.signal] for kind, end in ATTEMPT_ENDS.items()}
        return WorkerResult((self._courier.id,), self._ended, attempts, self._why_down)

    def stop(self, why: str) -> None:
        """Begin to shut down; calling it again changes nothing."""
        self._is_told = True
        self._stop_courier(why)
        if self._cancel_settling is not None:
            self._cancel_settling()

    def _stop_courier(self, why: str) -> None:
        self._ended = self._ended or why
        self._courier.stop()

    async def _settle(self, webhooks: WebhookDispatcher) -> None:
        """Send the webhooks that are due once, until told to stop."""
        settling = asyncio.create_task(webhooks.settle())
        loop = asyncio.get_running_loop()
        self._cancel_settling = partial(loop.call_soon_threadsafe, settling.cancel)
        with signals_wake_loop():
            if self._is_told:
                settling.cancel()
            with suppress(asyncio.CancelledError):
                await settling
        self._cancel_settling = None

    def _anything_due(self) -> bool:
        outbox = self._context.outbox
        if self._context.policy.unknown_wait_seconds is not None:
            outbox.resend_unknown()
        return outbox.anything_due()

    async def _work(self, ready: Callable[[], None] = lambda: None) -> None:
        with signals_wake_loop():
            await self._courier.run(ready)

    async def _work_until_drained(self) -> None:
        ready = asyncio.Event()
        looking = asyncio.create_task(self._look(ready))
        with (
            signals.lane_paused.connected_to(self._lane_paused, self._app),
            signals.lane_resumed.connected_to(self._lane_resumed, self._app),
        ):
            await self._work(ready.set)
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    async def _look(self, ready: asyncio.Event) -> None:
        """Stop once no due message can leave, or the outbox cannot be asked."""
        await ready.wait()
        try:
            while await self._anything_left():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._why_down = self._down_now()
            self._stop_courier("down" if self._why_down else "drained")

    async def _anything_left(self) -> bool:
        anything_due = self._context.outbox.anything_due
        return bool(
            await self._courier.in_thread(anything_due, self._lanes_that_work())
        )

    def _lanes_that_work(self) -> list[str]:
        lanes = self._courier.lanes
        return [
            name
            for name, lane in lanes.items()
            if lane.paused_by_operator is None
            and (name not in self._down or lanes.lane_for(name))
        ]

    def _down_now(self) -> str | None:
        why = [
            f"Lane {name} is paused: {reason}"
            for name, reason in self._down.items()
            if self._courier.lanes.lane_for(name) is None
        ]
        return " ".join(why) or None

    def _lane_paused(self, _app: object, lane: str, reason: str, **_: Any) -> None:
        """Stop waiting for a lane whose transport is still down after a probe."""
        if lane in self._paused:
            self._down[lane] = reason
        self._paused.add(lane)

    def _lane_resumed(self, _app: object, lane: str, **_: Any) -> None:
        self._paused.discard(lane)
        self._down.pop(lane, None)


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)
