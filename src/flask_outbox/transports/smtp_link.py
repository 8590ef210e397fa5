"""One connection's bytes: commands out, replies in, each within its time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import inf

from ..delivery import Reply
from .smtp_replies import MalformedReply, ReplyParser

Bytes = bytes | memoryview


class LinkError(Exception):
    """The connection is of no further use; the text says why."""


class LinkLost(LinkError):
    """The connection ended without a word."""


class CutByUs(LinkLost):
    """We ended it."""


class ServerClosing(LinkError):
    """The server said 421: it is about to close the connection (RFC 5321 3.8)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the server is closing the connection: {reply}")
        self.reply = reply


class OutOfStep(LinkError):
    """The server said something that is no reply, or that nothing had asked for."""


class TooSlow(LinkError):
    """The server did not reply, or did not read, in time."""


_Awaited = tuple[Callable[[Reply], None], float, Callable[[LinkError], None]]
"""Who takes a reply, how many seconds it may take, and who is told if none comes."""


class SmtpLink(asyncio.Protocol):
    """A connected, secured and authenticated transport, read strictly.

    Guarantees: replies are paired with what asked for them in order, so that several
    may be awaited at a time; whatever else arrives breaks the link. What is done about
    replies is done once all that came with them is known to be good, and what it
    writes leaves in one piece. A broken link is closed at once, stays broken, and
    tells the reason to everyone who waits. Nothing waits without a bound.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.on_broken: Callable[[LinkError], None] = _ignore
        """Told the reason, once; those who wait for replies are told afterwards."""
        self.on_readable: Callable[[], None] = _nothing
        """Called when the server, which had read too little, reads again."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._parser = ReplyParser()
        self._awaited: deque[_Awaited] = deque()
        self._deadline_at = inf
        self._deadline_words = ""
        self._asked_at = 0.0
        """Since when the first of these is awaited."""
        self._reading = False
        self._actions: list[Callable[[], None]] = []
        self._held: list[Bytes] | None = None
        self._writer: Callable[[], None] | None = None
        self._writer_due = inf
        self._writer_words = ""
        self._trouble: LinkError | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf
        self._ended = asyncio.Event()
        self.congested = False
        """Whether the server has read too little of what was written."""
        transport.set_protocol(self)

    # ---------------------------------------------------------------------- talking

    @property
    def open(self) -> bool:
        """Whether it can still be talked over, as far as is known."""
        return self._trouble is None

    @property
    def trouble(self) -> LinkError | None:
        """What broke it."""
        return self._trouble

    @property
    def just_heard(self) -> bool:
        """Whether what is done now is done about replies that have just come."""
        return self._held is not None

    def check_open(self) -> None:
        """Return if the link is open, else raise the `LinkError` that broke it."""
        if self._trouble is not None:
            raise self._trouble

    def expect(
        self,
        taker: Callable[[Reply], None],
        timeout_seconds: float,
        lost: Callable[[LinkError], None] | None = None,
    ) -> None:
        """Ask for the next reply that nobody else has asked for yet.

        Its time begins when the reply before it has come. ``lost`` is called in place
        of ``taker`` if the link breaks.
        """
        self.check_open()
        self._awaited.append((taker, timeout_seconds, lost or _ignore))
        if len(self._awaited) == 1:
            self.restart_clock()

    def end_within(self, seconds: float, words: str) -> None:
        """Break the link then, whatever goes on; in place of what was said before."""
        self._deadline_at = self._loop.time() + seconds
        self._deadline_words = words
        self._wind_alarm()

    def restart_clock(self) -> None:
        """Begin the time of the first awaited reply anew."""
        self._asked_at = self._loop.time()
        self._wind_alarm()

    def afterwards(self, action: Callable[[], None]) -> None:
        """Act now, or from a taker once all that came with its reply is good too."""
        if self._reading:
            self._actions.append(action)
        else:
            action()

    def write(self, data: Bytes) -> None:
        """Send bytes as they are, without waiting."""
        self.check_open()
        if self._held is None:
            self.transmit(data)
        else:
            self._held.append(data)

    def transmit(self, data: Bytes) -> None:
        """Give bytes to the system: the last step that is ours."""
        self._transport.write(data)

    def when_read(self, go_on: Callable[[], None], timeout_seconds: float) -> None:
        """Go on writing soon, once the server has read enough for more.

        What has arrived is looked at first, however much the system would still take
        from us. After ``timeout_seconds`` the link breaks.
        """
        self._writer = go_on
        self._writer_due = self._loop.time() + timeout_seconds
        self._writer_words = f"the server read nothing in {timeout_seconds:g} s"
        self._wind_alarm()
        if not self.congested:
            self._loop.call_soon(self._write_on)

    async def command(self, line: bytes, timeout_seconds: float) -> Reply:
        """Send one command line and return its reply."""
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self.expect(partial(_settle, reply), timeout_seconds, partial(_fail, reply))
        self.write(line + b"\r\n")
        return await reply

    # ----------------------------------------------------------------------- ending

    def abort(self) -> None:
        """End the connection at once. Whoever waits is told that it is lost."""
        self.break_off(CutByUs("connection closed on our side"))

    async def close(self) -> None:
        """End the connection and wait for its end, TLS's own farewell included.

        Whoever calls sets the bound.
        """
        self._transport.close()
        await self._ended.wait()

    def break_off(self, trouble: LinkError) -> None:
        """Keep the first trouble, tell everyone, cut the connection."""
        if self._trouble is not None:
            return
        self._trouble = trouble
        self._writer = None
        self._actions.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        self._transport.abort()
        self.on_broken(trouble)
        while self._awaited:
            self._awaited.popleft()[2](trouble)

    # ------------------------------------------------------------------- the clockwork

    def _bounds(self) -> Iterator[tuple[float, str]]:
        """What has to happen by when."""
        yield self._deadline_at, self._deadline_words
        if self._writer is not None:
            yield self._writer_due, self._writer_words
        elif self._awaited:
            seconds = self._awaited[0][1]
            yield self._asked_at + seconds, f"no reply in {seconds:g} s"

    def _wind_alarm(self) -> None:
        """Have the alarm ring no later than it must; too early does no harm."""
        due = self._deadline_at
        if self._writer is not None:
            due = min(due, self._writer_due)
        elif self._awaited:
            due = min(due, self._asked_at + self._awaited[0][1])
        if due < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = due
            self._alarm = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, inf
        now = self._loop.time()
        for due, words in self._bounds():
            if now >= due:
                self.break_off(TooSlow(words))
                return
        self._wind_alarm()

    # ------------------------------------------------------------- asyncio's callbacks

    def data_received(self, data: bytes) -> None:
        """Pair what arrived with what is awaited (asyncio's callback)."""
        if self._trouble is not None:
            return
        were_due = len(self._awaited)
        self._reading = True
        try:
            for reply in self._parser.feed(data):
                self._arrived(reply)
        except MalformedReply as error:
            self.break_off(OutOfStep(str(error)))
        self._reading = False
        if self._parser.midway and not self._awaited:
            self.break_off(OutOfStep("the server spoke unasked"))
        if 0 < len(self._awaited) < were_due:
            self.restart_clock()
        if self._actions:
            self._act()

    def _arrived(self, reply: Reply) -> None:
        if self._trouble is not None:
            return
        if self._awaited:
            self._awaited.popleft()[0](reply)
        elif reply.code == 421:
            self.break_off(ServerClosing(reply))
        else:
            self.break_off(OutOfStep(f"the server spoke unasked: {reply}"))

    def _act(self) -> None:
        """Do what the replies led to, and send what that wrote in one piece."""
        actions, self._actions = self._actions, []
        self._held = []
        for action in actions:
            if self._trouble is None:
                action()
        held, self._held = self._held, None
        if held and self._trouble is None:
            self.transmit(held[0] if len(held) == 1 else b"".join(held))

    def _write_on(self) -> None:
        if self._writer is not None and not self.congested:
            go_on, self._writer = self._writer, None
            go_on()

    def eof_received(self) -> None:
        """Take the server's end for the link's (asyncio's callback)."""
        self.break_off(LinkLost("connection lost"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everyone who waits (asyncio's callback)."""
        lost = LinkLost("connection lost")
        lost.__cause__ = error
        self.break_off(lost)
        self._ended.set()

    def pause_writing(self) -> None:
        """Hold back whoever writes on (asyncio's callback)."""
        self.congested = True

    def resume_writing(self) -> None:
        """Let him write on (asyncio's callback)."""
        self.congested = False
        self._write_on()
        self.on_readable()


def _nothing() -> None:
    """What is done where nobody has said what to do."""


def _ignore(_: LinkError) -> None:
    """What is done about trouble where nobody has said what to do."""


def _settle(waiting: asyncio.Future[Reply], reply: Reply) -> None:
    if not waiting.done():
        waiting.set_result(reply)


def _fail(waiting: asyncio.Future[Reply], trouble: LinkError) -> None:
    if not waiting.done():
        waiting.set_exception(trouble)
        waiting.exception()  # perhaps nobody will look: not worth a warning then
