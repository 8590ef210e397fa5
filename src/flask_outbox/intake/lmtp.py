"""An LMTP server (RFC 2033), to which a mail server hands the mail that came back.

Guarantees that a mail is accepted (250) for a recipient only once what it reports is
committed. Where the outbox is out of reach the reply is 451, and the mail server keeps
the mail. Needs aiosmtpd.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiosmtpd.lmtp import LMTP

from ..errors import ConfigError, OutboxError
from ..log_context import about
from . import Intake

LARGEST_BYTES = 64 * 1024 * 1024
"""The largest mail that is accepted. Reports may return all of what they are about."""

LONGEST_LINE = 1024 * 1024
"""Far beyond what is allowed: what is returned may have any form."""

IDLE_SECONDS = 300.0
"""How long a client may be silent."""

_log = logging.getLogger("flask_outbox")


class LmtpServer:
    """Serves at ``bind``: ``HOST:PORT``, or ``unix:PATH``."""

    def __init__(self, intake: Intake, bind: str, sender: object = None) -> None:
        self._intake = intake
        self._bind = bind
        self._sender = sender
        self._conversations: set[_Conversation] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve inside the block; yields where it listens.

        At its end, conversations may finish the mail that they are about to accept.
        Raises `ConfigError` if it cannot listen there.
        """
        try:
            server, shown = await self._listen()
        except OSError as error:
            raise ConfigError(
                f"LMTP cannot listen at {self._bind}: {error.strerror or error}."
            ) from error
        try:
            yield shown
        finally:
            server.close()
            await self._finish()
            if path := _path_in(self._bind):
                path.unlink(missing_ok=True)

    async def _listen(self) -> tuple[asyncio.Server, str]:
        loop = asyncio.get_running_loop()
        if path := _path_in(self._bind):
            _remove_unused(path)
            return await loop.create_unix_server(self._converse, path), self._bind
        host, port = _host_and_port(self._bind)
        server = await loop.create_server(self._converse, host, port)
        shown_port = server.sockets[0].getsockname()[1]
        return server, f"{host}:{shown_port}"

    def _converse(self) -> _Conversation:
        conversation = _Conversation(self)
        self._conversations.add(conversation)
        return conversation

    async def _finish(self) -> None:
        for one in list(self._conversations):
            await one.finish()

    def ended(self, conversation: _Conversation) -> None:
        """Note that a client has left."""
        self._conversations.discard(conversation)

    # aiosmtpd's hooks

    async def handle_RCPT(  # noqa: D102
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if not self._intake.accepts(address):
            return "550 5.1.1 no return path of a message of this app"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: D102
        self, server: _Conversation, session: Any, envelope: Any
    ) -> str:
        content = bytes(envelope.original_content)
        server.is_idle.clear()
        with about(self._sender):
            replies = [
                await asyncio.to_thread(self._take, content, recipient)
                for recipient in envelope.rcpt_tos
            ]
        return "\r\n".join(replies)

    def _take(self, content: bytes, recipient: str) -> str:
        try:
            self._intake.take(content, recipient)
        except OutboxError as error:
            _log.warning("A mail that came by LMTP could not be taken: %s", error)
            return "451 4.3.0 the outbox is out of reach, try again later"
        except Exception:
            _log.exception("A mail that came by LMTP could not be taken.")
            return "451 4.3.0 it could not be read, try again later"
        return "250 2.0.0 taken"


class _Conversation(LMTP):
    """A conversation with one client, with a reply for each recipient after DATA."""

    line_length_limit = LONGEST_LINE

    def __init__(self, server: LmtpServer) -> None:
        super().__init__(
            server,
            data_size_limit=LARGEST_BYTES,
            enable_SMTPUTF8=True,
            hostname=socket.gethostname(),
            ident="Flask-Outbox",
            timeout=IDLE_SECONDS,
        )
        self._lmtp_server = server
        self._has_content = False
        self.is_idle: asyncio.Event = asyncio.Event()
        """Not set while a mail is being taken, until its reply is written."""
        self.is_idle.set()

    async def smtp_DATA(self, arg: str) -> None:
        try:
            await super().smtp_DATA(arg)
        finally:
            self._has_content = False
            self.is_idle.set()

    async def push(self, status: Any) -> None:
        refused = isinstance(status, str) and status[:1] == "5"
        if self._has_content and refused and "\r\n" not in status and self.envelope:
            status = "\r\n".join([status] * len(self.envelope.rcpt_tos))
        self._has_content = isinstance(status, str) and status.startswith("354")
        await super().push(status)

    async def finish(self) -> None:
        """Let the client have the reply to a mail that is being taken, and close."""
        await self.is_idle.wait()
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._lmtp_server.ended(self)
        super().connection_lost(error)


def _path_in(bind: str) -> Path | None:
    kind, _, path = bind.partition(":")
    return Path(path) if kind == "unix" and path else None


def _host_and_port(bind: str) -> tuple[str, int]:
    host, colon, port = bind.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(
            f"{bind!r} is not a place to listen: write it as '127.0.0.1:2400' or "
            "'unix:/run/shop/lmtp.sock'."
        )
    return host.strip("[]"), int(port)


def _remove_unused(path: Path) -> None:
    """Remove a socket that a killed server has left; raise if one listens there."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as client, suppress(ConnectionRefusedError):
        client.connect(str(path))
        raise ConfigError(f"Another server listens at {path}.")
    path.unlink()
