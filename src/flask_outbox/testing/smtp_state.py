"""A server on 127.0.0.1 in a thread of its own, and what its connections share."""

from __future__ import annotations

import asyncio
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from .mail import Reading
from .smtp_script import Script

WAIT_SECONDS = 30.0
"""How long the server's thread may take for a call."""


class Conversation(Protocol):
    """What the server can do with a connection."""

    def cut(self) -> None:
        """Close the connection at once, without a reply."""


class LoopbackServer(ABC):
    """A server that listens inside the ``with`` block, or from `start` to `stop`.

    May be used from any thread. ``port`` 0 chooses a free port, which stays the same
    over `go_down` and `come_back`. With ``tls`` it speaks TLS from the first byte.
    """

    host = "127.0.0.1"

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port: int = port
        self.connections_made: int = 0
        """How many connections there have been."""
        self.most_connections: int = 0
        """How many connections were open at the same time, at most."""
        self._tls = tls
        self._changed = threading.Condition()
        self._conversations: set[Conversation] = set()
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @abstractmethod
    def _converse(self) -> asyncio.BaseProtocol:
        """Make the protocol of one connection; it reports its begin and end by `joined`
        and `left`.
        """

    # ------------------------------------------------------------------ from outside

    def start(self) -> None:
        """Start listening; `port` then has the port."""
        self._thread.start()
        self.come_back()

    def stop(self) -> None:
        """Stop; returns once the thread and all connections have ended."""
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
        """Stop listening and cut every connection, as if the server had crashed."""
        self._run(self._close())

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._conversations)

    def wait_until(self, true: Callable[[], Any], timeout_seconds: float) -> bool:
        """Wait until ``true()`` is true; False if time ran out.

        It is called at each change.
        """
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
        """Note that a connection was opened."""
        with self._changed:
            self._conversations.add(conversation)
            self.connections_made += 1
            self.most_connections = max(self.most_connections, self.connections)
            self._changed.notify_all()

    def left(self, conversation: Conversation) -> None:
        """Note that a connection was closed."""
        with self._changed:
            self._conversations.discard(conversation)
            self._changed.notify_all()

    def tell(self, change: Callable[[], object]) -> None:
        """Make a change that `wait_until` may wait for."""
        with self._changed:
            change()
            self._changed.notify_all()


class ArrivedMail(Reading):
    """A mail that the server has stored; `Reading` has its content."""

    def __init__(
        self,
        content: bytes,
        return_path: str,
        recipients: tuple[str, ...],
        login: str | None,
    ) -> None:
        super().__init__(lambda: content)
        self.return_path = return_path
        """The address in MAIL FROM."""
        self.recipients = recipients
        """The addresses that were accepted in RCPT TO."""
        self.login = login
        """The name that the client logged in with; None if it did not log in."""
        self.at: datetime = datetime.now(UTC)
        """When it was stored."""

    def __repr__(self) -> str:
        return f"<ArrivedMail {self.subject!r} to {', '.join(self.recipients)}>"


class WorkerProcess(Protocol):
    """A worker's process."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""


class ServerState:
    """The shared state of one server's connections: its script, mails and dialogue."""

    def __init__(self, server: LoopbackServer) -> None:
        self.server = server
        self.script: Script = Script()
        self.mails: list[ArrivedMail] = []
        self.dialogue: list[str] = []
        self.workers: list[WorkerProcess] = []
        self.faults: list[str] = []
        """What is wrong with the scripts, in words: rules that were never used."""

    def change_script(self, script: Script) -> None:
        """Follow this script from now on; unused rules of the last one are faults."""
        self.faults += [
            f"The script's rule {rule!r} was never used."
            for rule in self.script.unused_rules
        ]
        self.script = script

    def note(self, line: str) -> None:
        """Add a line to the dialogue."""
        self.dialogue.append(line)

    def keep(self, mail: ArrivedMail) -> int:
        """Store a mail and return its number."""
        self.server.tell(lambda: self.mails.append(mail))
        return len(self.mails)

    def kill_workers(self) -> None:
        """Kill the workers that are alive, and return once they are gone."""
        alive = [one for one in self.workers if one.alive]
        if not alive:
            self.faults.append(
                "'die between accept and record': no worker was there to die. Start "
                "one with the fixture outbox_worker, and do not drain in the test."
            )
        for one in alive:
            one.kill()
