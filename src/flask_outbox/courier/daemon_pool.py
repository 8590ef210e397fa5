"""Daemon pool: blocking calls for the event loop, in threads that hold nobody up."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from ..daemon_executor import as_exception

T = TypeVar("T")


class DaemonPool:
    """Runs blocking calls for one event loop.

    Whatever a call raises is answered to whoever awaits it, and its thread goes on.
    Unlike the standard executors it never keeps the process from ending: a call into a
    database that has stopped answering is left behind.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = (
            queue.SimpleQueue()
        )
        self._threads = threads
        for number in range(threads):
            threading.Thread(
                target=self._serve, name=f"{name}-{number}", daemon=True
            ).start()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what ``function`` returns in one of the threads."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(lambda: self._settle(future, function, args))
        return await future

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback`` soon; from any thread, without waiting.

        Waking a loop is a system call, at which the woken thread takes the interpreter
        from the caller. Here that befalls a thread of ours, and the caller goes on.
        """
        self._calls.put(lambda: self._loop.call_soon_threadsafe(callback, *args))

    def interrupt(self, callback: Callable[[], object]) -> None:
        """Have the loop call ``callback`` at once, however busy the threads are."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """End each thread when it has done what it was given."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                call()

    def _settle(
        self, future: asyncio.Future[T], function: Callable[..., T], args: Any
    ) -> None:
        try:
            outcome = function(*args)
        except BaseException as error:
            broken = as_exception(error)
            self._loop.call_soon_threadsafe(_unless_done, future.set_exception, broken)
        else:
            self._loop.call_soon_threadsafe(_unless_done, future.set_result, outcome)


def _unless_done(settle: Callable[[Any], None], value: Any) -> None:
    """Settle a future that nobody has cancelled meanwhile."""
    with suppress(asyncio.InvalidStateError):
        settle(value)
