"""A TCP proxy before a database server: it can refuse, cut, swallow, and count."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS

CHUNK_BYTES = 65_536


class Proxy:
    """Forwards connections to its ``port``; a context manager.

    `refuse` and `cut` end every connection; while it refuses there are no new ones.
    While it swallows, connections stay open, new ones are taken, and nothing passes, or
    no answer does. `pass_on` undoes all. All may be called from any thread.
    """

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()
        self.round_trips = 0
        """How often a client spoke first, or after an answer."""
        self._answered = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._passing = asyncio.Event()
        self._passing.set()
        self._answering = asyncio.Event()
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
        """Accept connections, on the same port, and forward everything."""
        self._run(self._listen)

    def refuse(self) -> None:
        """Refuse new connections, and end the open ones."""
        self._run(self._close)

    def cut(self) -> None:
        """End every connection, and take new ones."""
        self._run(self._cut)

    def swallow(self) -> None:
        """Keep and accept connections, but forward nothing."""
        self._run(self._hold)

    def swallow_answers(self) -> None:
        """Forward what clients say, and nothing that the server answers."""
        self._run(self._hold_answers)

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """`swallow` within the block."""
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
        self._answering.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._link, self.host, self.port)

    async def _hold(self) -> None:
        self._passing.clear()

    async def _hold_answers(self) -> None:
        self._answering.clear()

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
        """Serve one connection."""
        task = asyncio.current_task()
        assert task
        self._links.add(task)
        writers = [writer]
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._passing.wait()
            there = await asyncio.open_connection(self.host, self._target)
            writers.append(there[1])
            forth = self._pump(reader, there[1], self._note_asked, self._passing)
            back = self._pump(
                there[0],
                writer,
                self._note_answered,
                self._passing,
                self._answering,
            )
            pumps += asyncio.create_task(forth), asyncio.create_task(back)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for one in writers:
                one.transport.abort()
            self._links.discard(task)

    def _note_asked(self) -> None:
        self.round_trips += self._answered
        self._answered = False

    def _note_answered(self) -> None:
        self._answered = True

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        note: Callable[[], None],
        *permissions: asyncio.Event,
    ) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                note()
                for one in permissions:
                    await one.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
