"""Threads that make blocking calls for an event loop and never delay the process's end.

`DaemonPool` is for calls to the outbox. `LimitedPool` is for calls to the app's own
code, each of which has a time limit.
"""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from ..concurrency import Thread, as_exception, call_untraced, start_apart

T = TypeVar("T")


class DaemonPool:
    """Runs blocking calls for one event loop, outside the app's traces.

    What a call raises is raised where it is awaited, and its thread goes on. Unlike the
    standard executors it never keeps the process from ending: a call to a database that
    no longer answers is abandoned.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcomes = _Outcomes(self._loop)
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = (
            queue.SimpleQueue()
        )
        self._threads = threads
        self._all_ended: asyncio.Future[None] = self._loop.create_future()
        for number in range(threads):
            Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what ``function`` returns in one of the threads."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(partial(self._settle, future, function, args))
        return await future

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback`` soon. May be called from any thread; does not
        block.

        Waking a loop is a system call in which the caller can lose the interpreter to
        the woken thread. One of the pool's threads makes that call, so that the caller
        goes on.
        """
        self._calls.put(partial(self._loop.call_soon_threadsafe, callback, *args))

    def interrupt(self, callback: Callable[[], object]) -> None:
        """Have the loop call ``callback`` at once, even if all threads are busy."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    async def close(self, timeout_seconds: float) -> None:
        """End each thread when it has done what it was given; wait at most so long."""
        for _ in range(self._threads):
            self._calls.put(None)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended, timeout_seconds)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                call()
        self._outcomes.add(self._note_end, None)

    def _note_end(self, _outcome: None) -> None:
        self._threads -= 1
        if not self._threads:
            self._all_ended.set_result(None)

    def _settle(
        self, future: asyncio.Future[T], function: Callable[..., T], args: Any
    ) -> None:
        try:
            outcome = call_untraced(function, *args)
        except BaseException as error:
            self._outcomes.add(future.set_exception, as_exception(error))
        else:
            self._outcomes.add(future.set_result, outcome)


class _Outcomes:
    """Brings the outcomes of calls from threads to an event loop.

    The loop is woken once for all that are waiting when it comes to them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._loop_is_called = False

    def add(self, settle: Callable[[Any], None], outcome: Any) -> None:
        """Have the loop settle a future, unless it is done or the loop has ended."""
        self._waiting.append((settle, outcome))
        if not self._loop_is_called:
            self._loop_is_called = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._loop_is_called = False  # first: what is added from now on calls again
        while self._waiting:
            settle, outcome = self._waiting.popleft()
            _unless_done(settle, outcome)


def _unless_done(settle: Callable[[Any], None], value: Any) -> None:
    """Settle a future unless it was cancelled meanwhile."""
    with suppress(asyncio.InvalidStateError):
        settle(value)


QUICK_SECONDS = 1.0
"""How far apart the looks at calls are. One that has taken this long gets its thread
replaced by another."""


class TookTooLong(Exception):
    """A call did not end within its time limit."""


class Stopped(BaseException):
    """Raised inside a call that took too long, as soon as it runs Python code."""


class LimitedPool:
    """Runs blocking calls for one event loop, each for at most ``seconds``.

    A slow call holds up no other: another thread is started in place of its own, which
    ends with the call. A call whose time is over is ended as soon as it runs Python
    code; until then it is abandoned, and never keeps the process from ending.
    """

    def __init__(self, threads: int, name: str, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcomes = _Outcomes(self._loop)
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._threads = threads
        self._name = name
        self._seconds = seconds
        self._quick_seconds = min(QUICK_SECONDS, seconds)
        self._awaited: set[_Call[Any]] = set()
        self._next_look: asyncio.TimerHandle | None = None
        for _ in range(threads):
            self._begin_thread()

    async def run(
        self, slow: Callable[[], object], function: Callable[..., T], *args: Any
    ) -> T:
        """Return what ``function`` returns; call ``slow`` if it takes over
        `QUICK_SECONDS`.

        Raises `TookTooLong` after the pool's time limit, and what ``function`` raises.
        """
        call = _Call(self._loop.create_future(), slow, function, args)
        self._awaited.add(call)
        self._calls.put(call)
        if self._next_look is None:
            self._look_later()
        try:
            outcome: T = await call.future
            return outcome
        finally:
            self._awaited.discard(call)
            call.stop()

    def close(self) -> None:
        """End each thread when it has done what it was given."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _begin_thread(self) -> None:
        start_apart(Thread(target=self._serve, name=self._name, daemon=True))

    def _serve(self) -> None:
        with suppress(Stopped):
            while (call := self._calls.get()) is not None:
                if call.run(self._outcomes):
                    return

    def _look_later(self) -> None:
        self._next_look = self._loop.call_later(self._quick_seconds, self._look)

    def _look(self) -> None:
        """Replace the threads of slow calls, and end the calls whose time is over."""
        self._next_look = None
        for call in [*self._awaited]:
            seconds = call.seconds
            if seconds >= self._quick_seconds and call.leave():
                self._begin_thread()
                call.slow()
            if seconds >= self._seconds and call.stop():
                _unless_done(call.future.set_exception, TookTooLong())
        if self._awaited:
            self._look_later()


class _Call(Generic[T]):
    """One call: waiting for a thread, running in one, or over."""

    def __init__(
        self,
        future: asyncio.Future[T],
        slow: Callable[[], object],
        function: Callable[..., T],
        args: Any,
    ) -> None:
        self.future = future
        self.slow = slow
        self.has_left = False
        """Whether another thread has taken the place of its own."""
        self._function = function
        self._args = args
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._began_at: float | None = None
        self._over = False
        self._stopped = False

    def run(self, outcomes: _Outcomes) -> bool:
        """Make the call; True if another thread has taken this one's place."""
        with self._lock:
            if self._over:
                return False
            self._thread = threading.get_ident()
            self._began_at = time.monotonic()
        settle: Callable[[Any], None] = self.future.set_result
        outcome: Any
        try:
            outcome = self._function(*self._args)
        except BaseException as error:
            settle, outcome = self.future.set_exception, as_exception(error)
        with self._lock:
            self._over = True
        if not self._stopped:
            outcomes.add(settle, outcome)
        return self.has_left

    @property
    def seconds(self) -> float:
        """How long it has taken since a thread began it."""
        began_at = self._began_at
        return 0.0 if began_at is None else time.monotonic() - began_at

    def leave(self) -> bool:
        """Let the call keep its thread until it ends; False if it is over or has left
        already.
        """
        with self._lock:
            leaves = not (self._over or self.has_left)
            self.has_left = self.has_left or leaves
            return leaves

    def stop(self) -> bool:
        """End the call, or keep it from beginning; False if it is over already."""
        with self._lock:
            if self._over:
                return False
            if self._thread is None:
                self._over = True
            elif not self._stopped:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(Stopped)
                )
            self._stopped = True
            return True
