"""Shift: what one worker does between its start and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from flask import Flask

from .. import events
from ..courier import Courier, Crew
from ..loops import new_loop
from .outcome import Outcome

LOOK_SECONDS = 0.1
"""How often a worker looks whether all is done: other couriers deliver too."""

ENDS = {
    "sent": events.message_sent,
    "deferred": events.message_deferred,
    "failed": events.message_failed,
    "unknown": events.message_unknown,
    "released": events.message_released,
}
"""What an attempt may come to, and the signal that says so."""


class Shift:
    """One courier's work in this thread. `stop` may be called by a signal handler."""

    def __init__(self, crew: Crew, app: Flask) -> None:
        self._crew = crew
        self._app = app
        self._courier = Courier(crew)
        self._counts = dict.fromkeys(ENDS, 0)
        self._paused: set[str] = set()
        self._down: dict[str, str] = {}
        self._why_down: str | None = None
        self._ended = ""

    def run(self, *, until_drained: bool) -> Outcome:
        """Deliver until told to stop, then wind down; what came of it.

        With ``until_drained``, also stop when nothing is due that could leave. Nothing
        could by a lane that stays down, or that a person paused. That raises
        `OutboxUnavailable` where this would wait for the outbox otherwise.
        """
        if not until_drained:
            _run(self._work())
        elif self._anything_due():
            _run(self._work_until_drained())
        else:
            self._ended = "drained"
        return Outcome((self._courier.id,), self._ended, self._counts, self._why_down)

    def stop(self, why: str) -> None:
        """Begin to wind down; calling it again changes nothing."""
        self._ended = self._ended or why
        self._courier.stop()

    def _anything_due(self) -> bool:
        outbox = self._crew.outbox
        if self._crew.policy.unknown_wait_seconds is not None:
            outbox.resend_unknown()
        return outbox.anything_due()

    async def _work(self, ready: Callable[[], None] = lambda: None) -> None:
        with self._counting():
            await self._courier.run(ready)

    async def _work_until_drained(self) -> None:
        ready = asyncio.Event()
        looking = asyncio.create_task(self._look(ready))
        with (
            events.lane_paused.connected_to(self._lane_paused, self._app),
            events.lane_resumed.connected_to(self._lane_resumed, self._app),
        ):
            await self._work(ready.set)
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    async def _look(self, ready: asyncio.Event) -> None:
        """Stop once nothing is due that could leave, or nobody can tell."""
        await ready.wait()
        try:
            while await self._anything_left():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._why_down = self._down_now()
            self.stop("down" if self._why_down else "drained")

    async def _anything_left(self) -> bool:
        anything_due = self._crew.outbox.anything_due
        return bool(
            await self._courier.in_thread(anything_due, self._lanes_that_work())
        )

    def _lanes_that_work(self) -> list[str]:
        lanes = self._courier.lanes
        return [
            name
            for name, lane in lanes.items()
            if lane.held is None and (name not in self._down or lanes.way(name))
        ]

    def _down_now(self) -> str | None:
        why = [
            f"Lane {name} is paused: {reason}"
            for name, reason in self._down.items()
            if self._courier.lanes.way(name) is None
        ]
        return " ".join(why) or None

    def _lane_paused(self, _app: Flask, lane: str, reason: str, **_: Any) -> None:
        """Wait no more for a lane whose transport a probe has found still down."""
        if lane in self._paused:
            self._down[lane] = reason
        self._paused.add(lane)

    def _lane_resumed(self, _app: Flask, lane: str, **_: Any) -> None:
        self._paused.discard(lane)
        self._down.pop(lane, None)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        with ExitStack() as stack:
            for kind, ended in ENDS.items():
                count = partial(self._count, kind)
                stack.enter_context(ended.connected_to(count, self._app))
            yield

    def _count(self, kind: str, _app: Flask, **_: Any) -> None:
        self._counts[kind] += 1


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Do the work in an event loop of its own."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)
