"""The base of the demo's mail servers: real servers on loopback that behave as told."""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

HOST = "127.0.0.1"

SLOW_SECONDS = 10.0
"""How long a slow server takes for one mail, by default."""


class Behaviour(StrEnum):
    """How the server treats mail."""

    WELL = "well"
    SLOW = "slow"
    BUSY = "busy"
    REFUSING = "refusing"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of a server's answers."""

    yes: int
    not_now: int
    never: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that the server accepted, stored as a file."""

    number: int
    at: datetime
    subject: str
    message_id: str
    """The outbox's id of it."""
    known_as: str
    """Its Message-ID, or the provider's own id."""
    path: Path


def arrived_at(path: Path) -> datetime:
    """The time at which the mail in this file arrived."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


class LocalServer(ABC):
    """A server in its own thread; use it from other threads.

    Each mail is a file in ``mailbox``, synced before the server accepts it. Files of
    an earlier run count as arrived too.
    """

    name: ClassVar[str]
    """Its name for people."""
    codes: ClassVar[Codes]
    suffix: ClassVar[str]
    """The suffix of the mails' files."""

    def __init__(self, mailbox: Path) -> None:
        self.port: int = 0
        self.behaviour: Behaviour = Behaviour.WELL
        self.slow_seconds: float = SLOW_SECONDS
        self.next_seconds: float = 0.0
        """How long the next mail takes, unless the server is slow anyway."""
        self._mailbox = mailbox
        self._arrived: list[Arrival] = []
        self._news = threading.Condition()
        self._conversations: WeakSet[Any] = WeakSet()
        self._changed = asyncio.Event()
        """Set when the behaviour changes, which ends the wait of a slow mail."""
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="demo-server", daemon=True
        )

    @property
    @abstractmethod
    def url(self) -> str:
        """The ``MAIL_URL`` of an app that sends by it."""

    @abstractmethod
    def converse(self) -> asyncio.BaseProtocol:
        """The server's end of one new connection, with a ``transport``."""

    @abstractmethod
    def read(self, path: Path) -> Arrival:
        """The mail in a file whose name is its number."""

    @property
    def arrived(self) -> tuple[Arrival, ...]:
        """All mails that have arrived, the latest last."""
        return tuple(self._arrived)

    def start(self) -> None:
        """Start, and return once the server listens on `port`."""
        self._mailbox.mkdir(parents=True, exist_ok=True)
        kept = sorted(self._mailbox.glob(f"*{self.suffix}"))
        self._arrived = [self.read(path) for path in kept]
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Stop the server; only its files remain."""
        self._run(self._wind_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self, behaviour: Behaviour, slow_seconds: float = SLOW_SECONDS) -> None:
        """Change the behaviour, even for a mail that is being received.

        Raises `OSError` if the port is no longer free.
        """
        self._run(self._behave(behaviour, slow_seconds))

    def take_time(self, seconds: float) -> None:
        """Behave normally, but take ``seconds`` for the next mail. Raises `OSError`."""
        self.behave(Behaviour.WELL)
        self.next_seconds = seconds

    def wait_for(self, message_id: str, timeout_seconds: float) -> Arrival | None:
        """The arrival of a mail, or None if it did not arrive in time."""
        with self._news:
            return self._news.wait_for(
                lambda: next(
                    (one for one in self._arrived if one.message_id == message_id),
                    None,
                ),
                timeout_seconds,
            )

    # ---------------------------------------------------------------- in its own loop

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _behave(self, behaviour: Behaviour, slow_seconds: float) -> None:
        if behaviour is Behaviour.DOWN:
            await self._close()
        else:
            await self._listen()
        self.behaviour = behaviour
        self.slow_seconds = slow_seconds
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await self._loop.create_server(
                self._converse, HOST, self.port
            )
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        """Close the port and cut every connection, as a crash would."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for conversation in self._conversations:
            if isinstance(conversation.transport, asyncio.WriteTransport):
                conversation.transport.abort()

    async def _wind_up(self) -> None:
        await self._close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    def _converse(self) -> asyncio.BaseProtocol:
        conversation = self.converse()
        self._conversations.add(conversation)
        return conversation

    async def take_its_time(self) -> None:
        """Take as long as the behaviour wants for one mail."""
        seconds, self.next_seconds = self.next_seconds, 0.0
        if self.behaviour is Behaviour.SLOW:
            seconds = self.slow_seconds
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def keep(self, content: bytes) -> Arrival:
        """Store a mail."""
        number = self._arrived[-1].number + 1 if self._arrived else 1
        path = self._mailbox / f"{number:06}{self.suffix}"
        half = path.with_suffix(".half")
        with half.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        arrival = self.read(path)
        with self._news:
            self._arrived.append(arrival)
            self._news.notify_all()
        return arrival
