"""One connection's bytes: commands out, replies in, each with a time limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import inf

from ...delivery import Reply
from .replies import MalformedReply, ReplyParser

Bytes = bytes | memoryview


class LinkError(Exception):
    """The connection cannot be used any more; the text says why."""


class LinkLost(LinkError):
    """The connection ended without a reply that says why."""


class CutByUs(LinkLost):
    """We closed the connection."""


class ServerClosing(LinkError):
    """The server replied 421: it is about to close the connection (RFC 5321 3.8)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the server is closing the connection: {reply}")
        self.reply = reply


class OutOfStep(LinkError):
    """The server sent a malformed reply, or one that no command asked for."""


class TooSlow(LinkError):
    """The server did not reply or read in time."""


Taker = Callable[[Reply], None]

_Awaited = tuple[Taker, float, Callable[[LinkError], None]]
"""Callback for a reply, its time limit in seconds, and callback if none comes."""


class SmtpLink(asyncio.Protocol):
    """A connected, secured and authenticated asyncio transport, read strictly.

    Guarantees: replies are paired with commands in order, so several may be awaited at
    a time; any other data breaks the link. Actions on replies run only once all data
    that arrived with them is valid, and their writes are sent together, on demand
    (`hold_writes`) with those of the next message. A broken link
    is closed at once, stays broken, and reports the reason to all that wait. Every wait
    has a time limit.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.on_broken: Callable[[LinkError], None] = _ignore
        """Called once with the reason, before the callbacks of awaited replies."""
        self.on_readable: Callable[[], None] = _nothing
        """Called when the server reads again after congestion."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._parser = ReplyParser()
        self._awaited: deque[_Awaited] = deque()
        self._deadline_at = inf
        self._deadline_words = ""
        self._asked_at = 0.0
        """Since when the first reply is awaited, by the loop's clock."""
        self._reading = False
        self._actions: list[Callable[[], None]] = []
        self._held: list[Bytes] | None = None
        self._holding = False
        self._writer: Callable[[], None] | None = None
        self._writer_due = inf
        self._writer_words = ""
        self.trouble: LinkError | None = None
        """The error that broke the link, if any."""
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf
        self._ended = asyncio.Event()
        self.congested: bool = False
        """Whether too much of what was written is still unsent."""
        transport.set_protocol(self)

    # ---------------------------------------------------------------------- talking

    @property
    def just_heard(self) -> bool:
        """Whether actions on replies that have just arrived are running."""
        return self._held is not None

    def check_open(self) -> None:
        """Return if the link is open, else raise the `LinkError` that broke it."""
        if self.trouble is not None:
            raise self.trouble

    def expect(
        self,
        timeout_seconds: float,
        *takers: Taker,
        lost: Callable[[LinkError], None] | None = None,
    ) -> None:
        """Have each of ``takers`` called with one of the next replies, those that are
        not awaited yet.

        The time of a reply begins when the one before it has come. If the link breaks,
        ``lost`` is called instead.
        """
        if self.trouble is not None:
            raise self.trouble
        begins = not self._awaited
        for taker in takers:
            self._awaited.append((taker, timeout_seconds, lost or _ignore))
        if begins:
            self._asked_at = self._loop.time()
            self._set_alarm()

    def end_within(self, seconds: float, words: str) -> None:
        """Set the deadline for the link, replacing an earlier one; then it breaks."""
        self._deadline_at = self._loop.time() + seconds
        self._deadline_words = words
        if seconds != inf:
            self._set_alarm()

    def restart_clock(self) -> None:
        """Restart the time of the first awaited reply."""
        self._asked_at = self._loop.time()
        self._set_alarm()

    def afterwards(self, action: Callable[[], None]) -> None:
        """Run ``action`` now, or in a taker once all data with its reply is valid."""
        if self._reading:
            self._actions.append(action)
        else:
            action()

    def write(self, data: Bytes) -> None:
        """Send bytes as they are, without waiting."""
        if self.trouble is not None:
            raise self.trouble
        if self._held is None:
            self.transmit(data)
        else:
            self._held.append(data)

    def hold_writes(self) -> None:
        """Send what actions on these replies write together with what is written next.

        That is until the loop has run those who waited for the replies: they may have
        another message.
        """
        self._holding = True

    def transmit(self, data: Bytes) -> None:
        """Pass bytes to the asyncio transport."""
        self._transport.write(data)

    def when_read(self, go_on: Callable[[], None], timeout_seconds: float) -> None:
        """Call ``go_on`` soon, once the server has read enough for more.

        Data that has arrived is handled first, even if more could be written at once.
        The link breaks after ``timeout_seconds``.
        """
        self._writer = go_on
        self._writer_due = self._loop.time() + timeout_seconds
        self._writer_words = f"the server read nothing in {timeout_seconds:g} s"
        self._set_alarm()
        if not self.congested:
            self._loop.call_soon(self._write_on)

    async def command(self, line: bytes, timeout_seconds: float) -> Reply:
        """Send one command line and return its reply."""
        reply: asyncio.Future[Reply] = self._loop.create_future()
        settle, fail = partial(_settle, reply), partial(_fail, reply)
        self.expect(timeout_seconds, settle, lost=fail)
        self.write(line + b"\r\n")
        return await reply

    # ----------------------------------------------------------------------- ending

    def abort(self) -> None:
        """Close the connection at once; all that wait get `CutByUs`."""
        self.break_off(CutByUs("connection closed on our side"))

    async def close(self) -> None:
        """Close the connection and wait until it is closed, with TLS's handshake.

        The caller sets a time limit.
        """
        self._transport.close()
        await self._ended.wait()

    def break_off(self, trouble: LinkError) -> None:
        """Record the first error, notify all that wait, and close the connection."""
        if self.trouble is not None:
            return
        self.trouble = trouble
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
        """Each time limit, with the text of the error once it is over."""
        yield self._deadline_at, self._deadline_words
        if self._writer is not None:
            yield self._writer_due, self._writer_words
        elif self._awaited:
            seconds = self._awaited[0][1]
            yield self._asked_at + seconds, f"no reply in {seconds:g} s"

    def _set_alarm(self) -> None:
        """Set the timer for the nearest limit; an earlier timer does no harm."""
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
        self._set_alarm()

    # ------------------------------------------------------------- asyncio's callbacks

    def data_received(self, data: bytes) -> None:
        """Pair replies with those that are awaited (asyncio's callback)."""
        if self.trouble is not None:
            return
        were_due = len(self._awaited)
        self._reading = True
        try:
            for reply in self._parser.feed(data):
                if self._awaited:
                    self._awaited.popleft()[0](reply)
                else:
                    self._break_off_unasked(reply)
        except MalformedReply as error:
            self.break_off(OutOfStep(str(error)))
        self._reading = False
        if self._parser.midway and not self._awaited:
            self.break_off(OutOfStep("the server spoke unasked"))
        if 0 < len(self._awaited) < were_due:
            self.restart_clock()
        if self._actions:
            self._act()

    def _break_off_unasked(self, reply: Reply) -> None:
        if reply.code == 421:
            self.break_off(ServerClosing(reply))
        else:
            self.break_off(OutOfStep(f"the server spoke unasked: {reply}"))

    def _act(self) -> None:
        """Run the actions on replies, and send what they wrote in one piece."""
        actions, self._actions = self._actions, []
        self._held = self._held or []
        for action in actions:
            if self.trouble is None:
                action()
        if self._holding:
            self._holding = False
            self._loop.call_soon(self._send_held)
        else:
            self._send_held()

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held and self.trouble is None:
            self.transmit(held[0] if len(held) == 1 else b"".join(held))

    def _write_on(self) -> None:
        if self._writer is not None and not self.congested:
            go_on, self._writer = self._writer, None
            go_on()

    def eof_received(self) -> None:
        """Break the link as the server closes its side (asyncio's callback)."""
        self.break_off(LinkLost("connection lost"))

    def connection_lost(self, error: Exception | None) -> None:
        """Notify all that wait (asyncio's callback)."""
        lost = LinkLost("connection lost")
        lost.__cause__ = error
        self.break_off(lost)
        self._ended.set()

    def pause_writing(self) -> None:
        """Note that the server reads too slowly (asyncio's callback)."""
        self.congested = True

    def resume_writing(self) -> None:
        """Continue to write (asyncio's callback)."""
        self.congested = False
        self._write_on()
        self.on_readable()


def _nothing() -> None:
    """Do nothing."""


def _ignore(_: LinkError) -> None:
    """Ignore the error."""


def _settle(waiting: asyncio.Future[Reply], reply: Reply) -> None:
    if not waiting.done():
        waiting.set_result(reply)


def _fail(waiting: asyncio.Future[Reply], trouble: LinkError) -> None:
    if not waiting.done():
        waiting.set_exception(trouble)
        waiting.exception()  # mark as retrieved: no warning if nobody awaits it
