"""Loopback: a server on 127.0.0.1 in a thread of its own, for tests to talk to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Self

WAIT_SECONDS = 30.0
"""How long a server's own thread may take for what it is told."""


class Conversation(Protocol):
    """One connection, as far as the server knows it."""

    def cut(self) -> None:
        """End the connection at once, without a word."""


class LoopbackServer(ABC):
    """A server that listens inside the ``with`` block, or from `start` to `stop`.

    It may be used from any thread. ``port`` 0 takes a free one, which it keeps over
    `go_down` and `come_back`. With ``tls`` it speaks TLS from the first byte.
    """

    host = "127.0.0.1"

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.connections_made = 0
        """How many connections there have been."""
        self.most_connections = 0
        """How many of them were open at a time, at most."""
        self._tls = tls
        self._changed = threading.Condition()
        self._conversations: set[Conversation] = set()
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @abstractmethod
    def _converse(self) -> asyncio.BaseProtocol:
        """What answers one connection; it tells of it by `joined` and `left`."""

    # ------------------------------------------------------------------ from outside

    def start(self) -> None:
        """Return once it listens; `port` then says where."""
        self._thread.start()
        self.come_back()

    def stop(self) -> None:
        """Return once nothing of it is left."""
        self.go_down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def come_back(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._listen())

    def go_down(self) -> None:
        """Close the port and cut every connection, as a crashed server would."""
        self._run(self._close())

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._conversations)

    def wait_until(self, true: Callable[[], Any], timeout_seconds: float) -> bool:
        """Whether ``true()`` came about, looked at whenever something changes."""
        with self._changed:
            return bool(self._changed.wait_for(true, timeout_seconds))

    # ---------------------------------------------------------------- in its own loop

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await self._loop.create_server(
                self._converse, self.host, self.port, ssl=self._tls
            )
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        while self._conversations:
            for conversation in list(self._conversations):
                conversation.cut()
            await asyncio.sleep(0)
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def joined(self, conversation: Conversation) -> None:
        """A connection has come."""
        with self._changed:
            self._conversations.add(conversation)
            self.connections_made += 1
            self.most_connections = max(self.most_connections, self.connections)
            self._changed.notify_all()

    def left(self, conversation: Conversation) -> None:
        """A connection is over."""
        with self._changed:
            self._conversations.discard(conversation)
            self._changed.notify_all()

    def tell(self, change: Callable[[], object]) -> None:
        """Make a change that somebody may wait for."""
        with self._changed:
            change()
            self._changed.notify_all()
