"""One connection's bytes: commands out, replies in, each within its time."""

from __future__ import annotations

import asyncio
from collections import deque

from ..delivery import Reply
from .smtp_replies import MalformedReply, ReplyParser


class LinkError(Exception):
    """The connection is of no further use; the text says why."""


class LinkLost(LinkError):
    """The connection ended without a word."""


class ServerClosing(LinkError):
    """The server said 421: it is about to close the connection (RFC 5321 3.8)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the server is closing the connection: {reply}")
        self.reply = reply


class OutOfStep(LinkError):
    """The server said something that is no reply, or that nothing had asked for."""


class TooSlow(LinkError):
    """The server did not reply, or did not read, in time."""


class SmtpLink(asyncio.Protocol):
    """A connected, secured and authenticated transport, read strictly.

    Guarantees: replies are paired with what asked for them in order, so that several
    may be awaited at a time; whatever else arrives breaks the link. A broken link is
    closed at once, stays broken, and gives everyone who waits the reason. Nothing
    waits without a bound.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parser = ReplyParser()
        self._awaited: deque[asyncio.Future[Reply]] = deque()
        self._trouble: LinkError | None = None
        self._ended = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        transport.set_protocol(self)

    # ---------------------------------------------------------------------- talking

    @property
    def open(self) -> bool:
        """Whether it can still be talked over, as far as is known."""
        return self._trouble is None

    def check_open(self) -> None:
        """Return if the link is open, else raise the `LinkError` that broke it."""
        if self._trouble is not None:
            raise self._trouble

    def expect_reply(self) -> asyncio.Future[Reply]:
        """Ask for the next reply that nobody else has asked for yet."""
        self.check_open()
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._awaited.append(reply)
        return reply

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes as they are, without waiting."""
        self.check_open()
        self._transport.write(data)

    async def command(self, line: bytes, timeout_seconds: float) -> Reply:
        """Send one command line and return its reply."""
        reply = self.expect_reply()
        self.write(line + b"\r\n")
        return await self.reply_within(reply, timeout_seconds)

    async def reply_within(
        self, reply: asyncio.Future[Reply], timeout_seconds: float
    ) -> Reply:
        """Wait for a reply asked for; after ``timeout_seconds`` break the link."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await reply
        except TimeoutError:
            raise self._break(TooSlow(f"no reply in {timeout_seconds:g} s")) from None

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until the server has read enough for more, or has said something.

        After ``timeout_seconds`` break the link. What has arrived is looked at first,
        however much the system would still take from us.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.sleep(0)
                await self._may_write.wait()
        except TimeoutError:
            slow = TooSlow(f"the server read nothing in {timeout_seconds:g} s")
            raise self._break(slow) from None
        self.check_open()

    # ----------------------------------------------------------------------- ending

    def abort(self) -> None:
        """End the connection at once. Whoever waits is told that it is lost."""
        self._break(LinkLost("connection closed on our side"))

    async def close(self) -> None:
        """End the connection and wait for its end, TLS's own farewell included.

        Whoever calls sets the bound.
        """
        self._transport.close()
        await self._ended.wait()

    def _break(self, trouble: LinkError) -> LinkError:
        """Keep the first trouble, tell everyone, cut the connection; return it."""
        if self._trouble is None:
            self._trouble = trouble
            while self._awaited:
                _fail(self._awaited.popleft(), trouble)
            self._may_write.set()
            self._transport.abort()
        return self._trouble

    # ------------------------------------------------------------- asyncio's callbacks

    def data_received(self, data: bytes) -> None:
        """Pair what arrived with what is awaited (asyncio's callback)."""
        if self._trouble is not None:
            return
        try:
            for reply in self._parser.feed(data):
                self._arrived(reply)
        except MalformedReply as error:
            self._break(OutOfStep(str(error)))
        if self._parser.midway and not self._awaited:
            self._break(OutOfStep("the server spoke unasked"))

    def _arrived(self, reply: Reply) -> None:
        if self._awaited:
            waiting = self._awaited.popleft()
            if not waiting.done():
                waiting.set_result(reply)
            self._may_write.set()
        elif reply.code == 421:
            self._break(ServerClosing(reply))
        else:
            self._break(OutOfStep(f"the server spoke unasked: {reply}"))

    def eof_received(self) -> None:
        """Take the server's end for the link's (asyncio's callback)."""
        self._break(LinkLost("connection lost"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everyone who waits (asyncio's callback)."""
        lost = LinkLost("connection lost")
        lost.__cause__ = error
        self._break(lost)
        self._ended.set()

    def pause_writing(self) -> None:
        """Hold back `drain` (asyncio's callback)."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Let `drain` return (asyncio's callback)."""
        self._may_write.set()


def _fail(waiting: asyncio.Future[Reply], trouble: LinkError) -> None:
    if not waiting.done():
        waiting.set_exception(trouble)
        waiting.exception()  # perhaps nobody will look: not worth a warning then
