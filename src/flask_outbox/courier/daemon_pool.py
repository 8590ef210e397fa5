"""Daemon pool: blocking calls for the event loop, in threads that hold nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Call = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class DaemonPool:
    """Runs blocking calls for one event loop.

    Unlike the standard executors it never keeps the process from ending: a call into a
    database that has stopped answering is left behind.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(
                target=self._serve, name=f"{name}-{number}", daemon=True
            ).start()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what ``function`` returns in one of the threads."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((lambda: function(*args), future))
        return await future

    def close(self) -> None:
        """End each thread when it has done what it was given."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                outcome = function()
            except Exception as error:
                self._tell(future, future.set_exception, error)
            else:
                self._tell(future, future.set_result, outcome)

    def _tell(
        self, future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any
    ) -> None:
        def deliver() -> None:
            if not future.done():
                settle(value)

        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(deliver)
