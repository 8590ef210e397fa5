"""Kept-open connections: never more than allowed, the warmest first, none for long."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from ..delivery import Progress, Report
from ..errors import LoginRejected, TransportDown
from .smtp_delivery import Delivery
from .smtp_session import SmtpSession
from .smtp_trouble import TurnedAway

FEWER_SECONDS = 15.0
"""How long a server that let no further connection in is not asked for one more."""

_log = logging.getLogger("flask_outbox")


class SmtpPool:
    """Finds a connection for each message: an idle one, a new one, or one with room.

    Guarantees: at most ``max_connections`` are open at any moment, those being closed
    included; one that broke, or has carried ``max_messages`` messages, gets no more;
    a message waits only where no connection has room for it, and then in line; one that
    wants a fresh connection gets it as soon as there may be another; where the server
    lets no further connection in while others serve, those make do; after `close`
    nothing is left open and no task runs.
    """

    def __init__(
        self,
        connect: Callable[[Progress], Awaitable[SmtpSession]],
        *,
        max_connections: int,
        max_messages: int,
        idle_seconds: float,
    ) -> None:
        self._connect = connect
        self._max_connections = max_connections
        self._max_messages = max_messages
        self._idle_seconds = idle_seconds
        self._connections = 0
        """Those being opened or closed too."""
        self._opening = 0
        self._allowed = max_connections
        """How many the server was seen to let in."""
        self._more_at = 0.0
        """When it may be asked for one more than those."""
        self._turned_away: TurnedAway | None = None
        self._said = max_connections
        """The number that was last said to be allowed."""
        self._idle: dict[SmtpSession, float] = {}
        """Since when, the last one used last."""
        self._with_room: dict[SmtpSession, None] = {}
        """Busy ones on which another message may ride, the longest so first."""
        self._backlog: deque[Delivery] = deque()
        self._borrowers: deque[asyncio.Future[SmtpSession | None]] = deque()
        """Who wants a session alone; None is the right to open one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._janitor: asyncio.Task[None] | None = None
        self._closed = False

    # ------------------------------------------------------------------------ messages

    async def carry(self, delivery: Delivery) -> Report:
        """Hand over one message and return what became of it.

        Raises `TransportDown` if no connection could be made for it, or the server
        takes no mail. If it is cancelled, no neighbour suffers.
        """
        while True:
            try:
                await self._find_room(delivery)
            except TransportDown as down:
                delivery.fail(down)
            try:
                report = await delivery.answered()
            except asyncio.CancelledError:
                self._withdraw(delivery)
                raise
            if report is not None:
                return report

    async def _find_room(self, delivery: Delivery) -> None:
        """Begin it where there is room, or have it wait in line."""
        delivery.begin()
        session = None if delivery.wants_fresh else self._take_idle()
        if session is None and self._may_open:
            session = await self._open(delivery.progress)
        if session is None and not delivery.wants_fresh:
            session = self._take_idle() or self._take_with_room()
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

    @property
    def _fresh_is_wanted(self) -> bool:
        """Whether the first in line waits for a connection that has not served."""
        return bool(self._backlog) and self._backlog[0].wants_fresh

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

    @asynccontextmanager
    async def lend(self, progress: Progress) -> AsyncIterator[SmtpSession]:
        """Lend a session to one borrower alone; wait if all are busy.

        A borrower that raises, or is cancelled, leaves a dialogue that nobody can go on
        with, so the session is aborted then. Raises `TransportDown` if it takes a new
        connection and that fails.
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
                self._pass_on(free.result())
            raise

    def _pass_on(self, session: SmtpSession | None) -> None:
        if session is None:
            self._slot_is_free()
        else:
            self.settle(session)

    # --------------------------------------------------------------- what sessions tell

    def settle(self, session: SmtpSession) -> None:
        """Give a session what it has room for, or keep it for later."""
        self._with_room.pop(session, None)
        while session.usable and not self._used_up(session):
            if session.idle and self._borrowers:
                self._lend_to_next(session)
                return
            if not (self._backlog and session.has_room) or self._borrowers:
                break
            if self._fresh_is_wanted:
                break
            session.begin(self._backlog.popleft())
        if not session.usable:
            return
        if session.idle:
            self._keep(session)
        elif session.has_room and not (self._used_up(session) or self._fresh_is_wanted):
            self._with_room[session] = None

    def ended(self, session: SmtpSession) -> None:
        """A session's connection is over: there is room for another."""
        self._with_room.pop(session, None)
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
        elif self._used_up(session) or self._fresh_is_wanted:
            self._in_background(session.quit())
        else:
            session.kept_open = True
            self._idle[session] = _now()
            self._watch_idle()

    def _used_up(self, session: SmtpSession) -> bool:
        return session.messages_begun >= self._max_messages

    # ------------------------------------------------------------------------- opening

    @property
    def _may_open(self) -> bool:
        if self._closed or self._connections < self._allowed:
            return True
        return self._connections < self._max_connections and _now() >= self._more_at

    async def _open(self, progress: Progress) -> SmtpSession | None:
        """Open a connection; None if those that there are have to do."""
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
            if isinstance(error, TurnedAway) and self._makes_do(error):
                progress.note("us", f"no further connection: {error}")
                return None
            if isinstance(error, LoginRejected) or (
                isinstance(error, TransportDown) and not self._connections
            ):
                self._fail_backlog(error)
            self._slot_is_free()
            raise
        self._opening -= 1
        self._let_in(session)
        return session

    def _let_in(self, session: SmtpSession) -> None:
        if self._connections > self._allowed:
            self._allowed, self._more_at = self._connections, _now()
        self._say_how_many()
        session.belong_to(self)
        if not session.usable:
            self.ended(session)

    def _makes_do(self, error: TurnedAway) -> bool:
        """Whether the server has let others in, which have to do for a while."""
        if self._connections and not self._closed:
            self._allowed = min(self._allowed, self._connections)
            self._more_at = _now() + FEWER_SECONDS
            self._turned_away = error
            self._say_how_many()
            return True
        self._allowed, self._turned_away = self._max_connections, None
        return False

    def _fail_backlog(self, error: TransportDown) -> None:
        """All that waits in line has the same trouble: it is not asked for again."""
        while self._backlog:
            self._backlog.popleft().fail(error)

    def _say_how_many(self) -> None:
        """Say it once, when it is clear how many the server lets in."""
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

    def _take_with_room(self) -> SmtpSession | None:
        while self._with_room:
            session = next(iter(self._with_room))
            del self._with_room[session]
            if session.has_room:
                return session
        return None

    # ------------------------------------------------------------------------- the end

    async def close(self) -> None:
        """End all connections, politely where that is quick.

        One that is busy ends when its messages are through; whoever wants a session
        after this gets `TransportDown`.
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

    def _watch_idle(self) -> None:
        if self._janitor is None or self._janitor.done():
            self._janitor = self._in_background(self._retire_idle())

    async def _retire_idle(self) -> None:
        """Close each session that nobody took in time; end when none is left.

        If the loop ends before `close`, cut what is left.
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
    """The loop's own clock, which is also the one that it sleeps by."""
    return asyncio.get_running_loop().time()
