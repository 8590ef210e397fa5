"""The demo's own mail server: real SMTP on loopback, that can be put in a bad mood."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.parser import BytesHeaderParser
from enum import StrEnum
from pathlib import Path
from typing import Any
from weakref import WeakSet

from aiosmtpd.smtp import SMTP

HOST = "127.0.0.1"

SLOW_SECONDS = 10.0
"""How long a slow server takes over one mail, unless it is told otherwise."""


class Behaviour(StrEnum):
    """How the server treats what comes next."""

    WELL = "well"
    SLOW = "slow"
    BUSY = "busy"
    REFUSING = "refusing"
    DOWN = "down"


_REPLIES = {
    Behaviour.BUSY: "451 4.3.2 Too busy now, please try again later",
    Behaviour.REFUSING: "550 5.1.1 There is no such mailbox here",
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One mail that the server accepted, kept as a file."""

    number: int
    at: datetime
    subject: str
    message_id: str
    path: Path

    @classmethod
    def read(cls, path: Path) -> Arrival:
        """Make it out from the file, named by its number."""
        with path.open("rb") as file:
            headers = BytesHeaderParser(policy=policy.default).parse(file)
            arrived_at = os.fstat(file.fileno()).st_mtime
        return cls(
            number=int(path.stem),
            at=datetime.fromtimestamp(arrived_at, UTC),
            subject=headers.get("Subject", ""),
            message_id=headers.get("Message-ID", ""),
            path=path,
        )


class LocalSmtp:
    """The server, in a thread of its own; to be used from any other.

    Each mail is a file in ``mailbox``, synced before the server says 250. What the
    folder holds from an earlier run has arrived too.
    """

    def __init__(self, mailbox: Path) -> None:
        self.port = 0
        self.behaviour = Behaviour.WELL
        self.slow_seconds = SLOW_SECONDS
        self.next_seconds = 0.0
        """How long it takes over the next mail, if it is not slow anyway."""
        self._mailbox = mailbox
        self._arrived: list[Arrival] = []
        self._news = threading.Condition()
        self._conversations: WeakSet[SMTP] = WeakSet()
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="demo-smtp", daemon=True
        )

    @property
    def arrived(self) -> tuple[Arrival, ...]:
        """All mails that have arrived, the latest last."""
        return tuple(self._arrived)

    def start(self) -> None:
        """Return once the server listens; `port` says where."""
        self._mailbox.mkdir(parents=True, exist_ok=True)
        kept = sorted(self._mailbox.glob("*.eml"))
        self._arrived = [Arrival.read(path) for path in kept]
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Return once nothing is left of the server but its files."""
        self._run(self._wind_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self, behaviour: Behaviour, slow_seconds: float = SLOW_SECONDS) -> None:
        """Behave so from now on. Raises `OSError` when the port is no longer free."""
        self._run(self._behave(behaviour, slow_seconds))

    def take_time(self, seconds: float) -> None:
        """Be well again, but take ``seconds`` over the next mail. Raises `OSError`."""
        self.behave(Behaviour.WELL)
        self.next_seconds = seconds

    def wait_for(self, message_id: str, timeout_seconds: float) -> Arrival | None:
        """The arrival of a mail, or None when it has not come within the time."""
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

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await self._loop.create_server(
                self._converse, HOST, self.port
            )
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        """Close the port and cut every connection, as a server does that crashes."""
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

    def _converse(self) -> SMTP:
        conversation = SMTP(
            self, hostname="localhost", enable_SMTPUTF8=True, loop=self._loop
        )
        self._conversations.add(conversation)
        return conversation

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO (aiosmtpd's hook)."""
        if refusal := _REPLIES.get(self.behaviour):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer the final dot (aiosmtpd's hook)."""
        seconds, self.next_seconds = self.next_seconds, 0.0
        if self.behaviour is Behaviour.SLOW:
            seconds = self.slow_seconds
        await asyncio.sleep(seconds)
        arrival = self._keep(envelope.content)
        return f"250 2.0.0 Accepted as mail {arrival.number}"

    def _keep(self, content: bytes) -> Arrival:
        number = self._arrived[-1].number + 1 if self._arrived else 1
        path = self._mailbox / f"{number:06}.eml"
        half = path.with_suffix(".half")
        with half.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        arrival = Arrival.read(path)
        with self._news:
            self._arrived.append(arrival)
            self._news.notify_all()
        return arrival
