"""A TCP proxy before a database server: it can refuse, cut, and swallow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

WAIT_SECONDS = 10.0
CHUNK_BYTES = 65_536


class Proxy:
    """Passes on what comes to its ``port``; a context manager.

    `refuse` and `cut` end every connection; while it refuses there are no new ones.
    While it swallows, connections stay open, new ones are taken, and nothing passes.
    `pass_on` undoes both. All may be called from any thread.
    """

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.pass_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def pass_on(self) -> None:
        """Take connections, on the same port as ever, and pass everything on."""
        self._run(self._listen)

    def refuse(self) -> None:
        """Refuse connections, and end those that there are."""
        self._run(self._close)

    def cut(self) -> None:
        """End every connection, and take new ones."""
        self._run(self._cut)

    def swallow(self) -> None:
        """Keep all connections, take new ones, and let nothing pass."""
        self._run(self._hold)

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Swallow for a while."""
        self.swallow()
        try:
            yield
        finally:
            self.pass_on()

    # ---------------------------------------------------------------- in its own loop

    def _run(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(WAIT_SECONDS)

    async def _listen(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._link, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _hold(self) -> None:
        self._passing.clear()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _link(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, from its begin to its end."""
        task = asyncio.current_task()
        assert task
        self._links.add(task)
        writers = [writer]
        try:
            await self._passing.wait()
            there = await asyncio.open_connection(self.host, self._target)
            writers.append(there[1])
            pumps = self._pump(reader, there[1]), self._pump(there[0], writer)
            await asyncio.wait(
                [asyncio.create_task(pump) for pump in pumps],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            pass
        finally:
            for one in writers:
                one.transport.abort()
            self._links.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
