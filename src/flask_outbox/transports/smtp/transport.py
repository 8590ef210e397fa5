"""The transport: a pool of connections, within the limit, none idle for long."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from ...config import SmtpSettings
from ...delivery import Envelope, Progress, Report
from ...errors import LoginRejected, TransportDown
from ..base import Transport
from .connect import SmtpConnector
from .errors import ConnectionRejected
from .job import Delivery
from .session import SmtpSession

FEWER_SECONDS = 15.0
"""Pause before another connection is tried after the server refused a further one."""

_log = logging.getLogger("flask_outbox")


class SmtpTransport(Transport):
    """Delivers to one SMTP server, as the settings describe it.

    Each message gets a connection: an idle one, a new one, or one with room for it. If
    the server offers PIPELINING and is known to cope with it (`PipelineAfterContent`),
    the next message's commands are sent directly behind the content of the one before;
    with CHUNKING, too, several messages are in flight on a connection. Otherwise a
    connection carries one message at a time. Waiting for a connection has no time limit
    of its own, only those of the deliveries before.

    Guarantees:

    - At most ``max_connections`` are open at any moment, including closing ones.
    - A connection that broke, or has carried its most messages, gets no more.
    - A message waits, in order, only if no connection has room for it.
    - A message that needs a fresh connection gets one as soon as the limit allows.
    - If the server refuses a further connection while others work, those are used.
    - After `close` nothing is open and no task runs.

    ``connect`` opens connections in place of `SmtpConnector`.
    """

    def __init__(
        self,
        settings: SmtpSettings,
        connect: Callable[[Progress], Awaitable[SmtpSession]] | None = None,
    ) -> None:
        self.server_address: tuple[str, int] = settings.host, settings.port
        self._connect = connect or SmtpConnector(settings).connect
        self._max_connections = settings.max_connections
        self._max_messages = settings.max_messages_per_connection
        self._idle_seconds = settings.idle_seconds
        self._connections = 0
        """Including those that are being opened or closed."""
        self._opening = 0
        self._newest: SmtpSession | None = None
        self._allowed = settings.max_connections
        """How many connections the server is known to accept."""
        self._more_at = 0.0
        """When another one may be tried, by the loop's clock."""
        self._turned_away: ConnectionRejected | None = None
        self._said = settings.max_connections
        """The number that was last logged as allowed."""
        self._idle: dict[SmtpSession, float] = {}
        """Idle sessions and since when they are, the last used at the end."""
        self._busy: dict[SmtpSession, None] = {}
        """Busy sessions that may have room for another message, the longest waiting
        first."""
        self._backlog: deque[Delivery] = deque()
        self._borrowers: deque[asyncio.Future[SmtpSession | None]] = deque()
        """Callers of `lend` that wait; None as result allows them to open a session."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._janitor: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def riders(self) -> int:
        """One for each connection, if commands may ride (`PipelineAfterContent`)."""
        rides = self._newest is not None and self._newest.carries_riders
        return self._connections if rides else 0

    # ------------------------------------------------------------------------ messages

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Send the message to the server and report on each recipient.

        If an idle connection turns out to be closed, another one is used. Raises as
        `Transport.deliver` does. Cancelling it does not affect other messages.
        """
        delivery = Delivery(envelope, content, progress)
        while True:
            answered = delivery.begin()
            try:
                await self._find_room(delivery)
            except TransportDown as down:
                delivery.fail(down)
            try:
                report = await answered
            except asyncio.CancelledError:
                self._withdraw(delivery)
                raise
            if report is not None:
                return report

    async def _find_room(self, delivery: Delivery) -> None:
        """Begin the delivery on a connection with room, or put it into the backlog."""
        session = None if delivery.wants_fresh else self._take_idle()
        if session is None and self._may_open:
            session = await self._open(delivery.progress)
        if session is None and not delivery.wants_fresh:
            session = self._take_idle() or self._take_busy()
        if session is not None:
            delivery.wants_fresh = False
            session.begin(delivery)
            self.settle(session)
        elif delivery.tries > 1:
            self._backlog.appendleft(delivery)
            if delivery.wants_fresh:
                self._end_an_idle_one()
        else:
            self._backlog.append(delivery)

    def _end_an_idle_one(self) -> None:
        session = self._take_idle()
        if session is not None:
            self._in_background(session.quit())

    def _withdraw(self, delivery: Delivery) -> None:
        if delivery.carrier is not None:
            delivery.carrier.abandon(delivery)
        elif delivery in self._backlog:
            self._backlog.remove(delivery)
        else:  # it was its turn to open a connection
            self._slot_is_free()

    # ------------------------------------------------------------------------- lending

    async def probe(self) -> None:
        """Return if the server would take mail now, else raise `TransportDown`."""
        while True:  # ends: on a fresh connection takes_mail() is true or raises
            async with self.lend(Progress()) as session:
                if await session.takes_mail():
                    return

    @asynccontextmanager
    async def lend(self, progress: Progress) -> AsyncIterator[SmtpSession]:
        """Lend a session to one caller alone; wait if all are busy.

        If the caller raises or is cancelled, the session is aborted, because its
        dialogue cannot be continued. Raises `TransportDown` if a new connection is
        needed and fails.
        """
        session = self._take_idle()
        while session is None:
            session = await (
                self._open(progress) if self._may_open else self._next_free()
            )
        try:
            yield session
        except BaseException:
            session.abort()
            raise
        finally:
            self.settle(session)

    async def _next_free(self) -> SmtpSession | None:
        free: asyncio.Future[SmtpSession | None]
        free = asyncio.get_running_loop().create_future()
        self._borrowers.append(free)
        try:
            return await free
        except asyncio.CancelledError:
            if free.done() and not free.cancelled():
                self._release(free.result())
            raise

    def _release(self, session: SmtpSession | None) -> None:
        if session is None:
            self._slot_is_free()
        else:
            self.settle(session)

    # --------------------------------------------------------------- what sessions tell

    def settle(self, session: SmtpSession) -> None:
        """Begin waiting messages on a session that has room, or keep it for later."""
        self._busy.pop(session, None)
        while self._backlog and not self._borrowers and self._may_begin(session):
            session.begin(self._backlog.popleft())
        if not session.idle:
            self._busy[session] = None
        elif not session.usable:
            return
        elif self._borrowers and session.messages_begun < self._max_messages:
            self._lend_to_next(session)
        else:
            self._keep(session)

    def _may_begin(self, session: SmtpSession) -> bool:
        """Whether the next message may be begun on ``session``."""
        return session.has_room and not self._is_to_end(session)

    def _is_to_end(self, session: SmtpSession) -> bool:
        """Whether ``session`` gets no more messages, to make way for a fresh one."""
        wants_fresh = bool(self._backlog) and self._backlog[0].wants_fresh
        return wants_fresh or session.messages_begun >= self._max_messages

    def ended(self, session: SmtpSession) -> None:
        """Forget a session whose connection has ended; another may be opened."""
        self._busy.pop(session, None)
        self._idle.pop(session, None)
        self._connections -= 1
        self._slot_is_free()

    def _slot_is_free(self) -> None:
        while self._borrowers:
            borrower = self._borrowers.popleft()
            if not borrower.done():
                borrower.set_result(None)
                return
        if self._backlog:
            self._backlog.popleft().again()

    def _lend_to_next(self, session: SmtpSession) -> None:
        borrower = self._borrowers.popleft()
        if borrower.done():
            self.settle(session)
        else:
            borrower.set_result(session)

    def _keep(self, session: SmtpSession) -> None:
        if self._closed:
            session.abort()
        elif self._is_to_end(session):
            self._in_background(session.quit())
        else:
            session.kept_open = True
            self._idle[session] = _now()
            if self._janitor is None or self._janitor.done():
                self._janitor = self._in_background(self._retire_idle())

    # ------------------------------------------------------------------------- opening

    @property
    def _may_open(self) -> bool:
        if self._closed or self._connections < self._allowed:
            return True
        return self._connections < self._max_connections and _now() >= self._more_at

    async def _open(self, progress: Progress) -> SmtpSession | None:
        """Open a connection; None if the server refuses one more while others work."""
        if self._closed:
            raise TransportDown("This SMTP transport was closed.")
        self._connections += 1
        self._opening += 1
        if self._connections > self._allowed:
            self._more_at = _now() + FEWER_SECONDS
        try:
            session = await self._connect(progress)
        except BaseException as error:
            self._opening -= 1
            self._connections -= 1
            if isinstance(error, ConnectionRejected) and self._lower_limit(error):
                progress.note("us", f"no further connection: {error}")
                return None
            if isinstance(error, LoginRejected) or (
                isinstance(error, TransportDown) and not self._connections
            ):
                self._fail_backlog(error)
            self._slot_is_free()
            raise
        self._opening -= 1
        self._raise_limit(session)
        return session

    def _raise_limit(self, session: SmtpSession) -> None:
        if self._connections > self._allowed:
            self._allowed, self._more_at = self._connections, _now()
        self._log_limit()
        self._newest = session
        session.set_owner(self)
        if not session.usable:
            self.ended(session)

    def _lower_limit(self, error: ConnectionRejected) -> bool:
        """Whether other connections are open, which are to be used for a while."""
        if self._connections and not self._closed:
            self._allowed = min(self._allowed, self._connections)
            self._more_at = _now() + FEWER_SECONDS
            self._turned_away = error
            self._log_limit()
            return True
        self._allowed, self._turned_away = self._max_connections, None
        return False

    def _fail_backlog(self, error: TransportDown) -> None:
        """Fail all waiting messages with this error, instead of connecting for each."""
        while self._backlog:
            self._backlog.popleft().fail(error)

    def _log_limit(self) -> None:
        """Log once how many connections the server accepts, when that is clear."""
        if self._turned_away is None or self._opening:
            return
        if self._allowed < self._said:
            self._said = self._allowed
            _log.warning(
                "%s Mail goes on over the connections that are open (%d). If the "
                "server allows no more, set MAIL_MAX_CONNECTIONS = %d.",
                self._turned_away,
                self._allowed,
                self._allowed,
            )
        self._turned_away = None

    def _take_idle(self) -> SmtpSession | None:
        while self._idle:
            session, _ = self._idle.popitem()
            if session.usable:
                return session
        return None

    def _take_busy(self) -> SmtpSession | None:
        while self._busy:
            session = next(iter(self._busy))
            del self._busy[session]
            if self._may_begin(session):
                return session
        return None

    # ------------------------------------------------------------------------- the end

    async def close(self) -> None:
        """Close all connections, politely if that is quick.

        A busy one is closed when its messages are finished. Later deliveries and probes
        raise `TransportDown`.
        """
        self._closed = True
        idle, self._idle = self._idle, {}
        if self._janitor is not None:
            self._janitor.cancel()
        for session in idle:
            self._in_background(session.quit())
        while self._backlog:
            self._backlog.popleft().again()
        while self._borrowers:
            _free(self._borrowers.popleft())
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _retire_idle(self) -> None:
        """Close each session that has been idle too long; return when none is left.

        If the loop ends before `close`, abort the remaining ones.
        """
        try:
            while self._idle:
                _, since = next(iter(self._idle.items()))
                await asyncio.sleep(max(0.0, since + self._idle_seconds - _now()))
                session = self._take_expired()
                if session is not None:
                    await session.quit()
        except asyncio.CancelledError:
            for session in list(self._idle):
                session.abort()
            raise

    def _take_expired(self) -> SmtpSession | None:
        for session, since in self._idle.items():
            if _now() >= since + self._idle_seconds:
                del self._idle[session]
                return session
            break
        return None

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _free(borrower: asyncio.Future[SmtpSession | None]) -> None:
    if not borrower.done():
        borrower.set_result(None)


def _now() -> float:
    """The time of the loop's clock, by which it also sleeps."""
    return asyncio.get_running_loop().time()
