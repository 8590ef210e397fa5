"""Limited pool: calls into the app's own code, each of which has a time to end."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from ..daemon_executor import as_exception

T = TypeVar("T")

QUICK_SECONDS = 1.0
"""How long a call may take without another thread taking its thread's place."""


class TookTooLong(Exception):
    """A call was not over in its time."""


class Stopped(BaseException):
    """Ends a call that took too long, wherever it runs Python."""


class LimitedPool:
    """Runs blocking calls for one event loop, each for no longer than ``seconds``.

    A call that is slow holds no other up: another thread takes its thread's place,
    which ends with the call. One whose time is over is ended as soon as it runs Python,
    and until then left to itself; it never keeps the process from ending.
    """

    def __init__(self, threads: int, name: str, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._threads = threads
        self._name = name
        self._seconds = seconds
        for _ in range(threads):
            self._begin_thread()

    async def run(
        self, slow: Callable[[], object], function: Callable[..., T], *args: Any
    ) -> T:
        """Return what ``function`` returns; ``slow`` is called if it is.

        Raises `TookTooLong`.
        """
        call = _Call(self._loop, function, args)
        self._calls.put(call)
        try:
            await call.began
            await asyncio.wait({call.ended}, timeout=min(QUICK_SECONDS, self._seconds))
            if not call.ended.done() and call.leave_behind():
                self._begin_thread()
                slow()
                left_seconds = max(0.0, self._seconds - QUICK_SECONDS)
                await asyncio.wait({call.ended}, timeout=left_seconds)
            if not call.ended.done() and call.stop():
                raise TookTooLong
            return await call.ended
        finally:
            call.stop()
            call.forget()

    def close(self) -> None:
        """End each thread when it has done what it was given."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _begin_thread(self) -> None:
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        with suppress(Stopped):
            while (call := self._calls.get()) is not None:
                if call.run():
                    return


class _Call(Generic[T]):
    """One call: waiting, in a thread, or over."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., T], args: Any
    ) -> None:
        self.began: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[T] = loop.create_future()
        self._loop = loop
        self._function = function
        self._args = args
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._over = False
        self._left_behind = False
        self._stopped = False

    def run(self) -> bool:
        """Make the call; whether another thread has taken this one's place."""
        with self._lock:
            if self._over:
                return False
            self._thread = threading.get_ident()
        settle: Callable[[Any], None] = self.ended.set_result
        outcome: Any
        try:
            self._tell(self.began.set_result, None)
            outcome = self._function(*self._args)
        except BaseException as error:
            settle, outcome = self.ended.set_exception, as_exception(error)
        with self._lock:
            self._over = True
        self._tell(settle, outcome)
        return self._left_behind

    def leave_behind(self) -> bool:
        """Whether it goes on, in a thread that from now on is only its own."""
        with self._lock:
            self._left_behind = not self._over
            return self._left_behind

    def stop(self) -> bool:
        """Have it end, or never begin, and answer True; False where it is over."""
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

    def forget(self) -> None:
        """Wait no more for what comes of it."""
        self.began.cancel()
        self.ended.cancel()

    def _tell(self, settle: Callable[[Any], None], value: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(_unless_done, settle, value)


def _unless_done(settle: Callable[[Any], None], value: Any) -> None:
    with suppress(asyncio.InvalidStateError):
        settle(value)
