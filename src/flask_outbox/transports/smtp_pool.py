"""Kept-open connections: never more than allowed, the warmest first, none for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..delivery import Progress
from ..errors import TransportDown
from .smtp_session import SmtpSession

IDLE_SECONDS = 30.0
"""How long an unused connection is kept: long enough for the next mail of a burst,
shorter than the minute or more after which servers and routers drop it themselves."""


@dataclass(frozen=True, slots=True)
class _Idle:
    session: SmtpSession
    since: float


class SmtpPool:
    """Lends sessions, one borrower each.

    Guarantees: at most ``max_connections`` are open at any moment, those being closed
    included; a session that broke, or has carried ``max_messages`` messages, is not
    lent again; after `close` nothing is left open and no task runs.
    """

    def __init__(
        self,
        connect: Callable[[Progress], Awaitable[SmtpSession]],
        *,
        max_connections: int,
        max_messages: int,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._connect = connect
        self._max_messages = max_messages
        self._idle_seconds = idle_seconds
        self._slots = asyncio.Semaphore(max_connections)
        """One for each session that is lent, being opened or being closed. An idle
        one needs none: whoever opens another first finds it and takes it."""
        self._idle: list[_Idle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._janitor: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def lend(self, progress: Progress) -> AsyncIterator[SmtpSession]:
        """Lend a session: the last one used, or a new connection; wait if all are out.

        A borrower that raises, or is cancelled, leaves a dialogue that nobody can go on
        with, so the session is aborted then. Raises `TransportDown` if it takes a new
        connection and that fails.
        """
        await self._slots.acquire()
        try:
            session = self._take_idle() or await self._open(progress)
        except BaseException:
            self._slots.release()
            raise
        try:
            yield session
        except BaseException:
            session.abort()
            raise
        finally:
            self._take_back(session)

    async def close(self) -> None:
        """End all connections, politely where that is quick.

        One that is lent ends when it comes back; whoever wants a session after this
        gets `TransportDown`.
        """
        self._closed = True
        idle, self._idle = self._idle, []
        if self._janitor is not None:
            self._janitor.cancel()
        for one in idle:
            self._in_background(one.session.quit())
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------------ lending

    def _take_idle(self) -> SmtpSession | None:
        while self._idle:
            session = self._idle.pop().session
            if session.usable:
                return session
        return None

    async def _open(self, progress: Progress) -> SmtpSession:
        if self._closed:
            raise TransportDown("This SMTP transport was closed.")
        return await self._connect(progress)

    def _take_back(self, session: SmtpSession) -> None:
        if self._closed:
            session.abort()
        elif session.usable and session.messages_begun >= self._max_messages:
            self._in_background(self._retire(session))
            return
        elif session.usable:
            session.kept_open = True
            self._idle.append(_Idle(session, _now()))
            self._watch_idle()
        self._slots.release()

    async def _retire(self, session: SmtpSession) -> None:
        """Close a session whose borrower has left it its slot."""
        try:
            await session.quit()
        finally:
            self._slots.release()

    # ------------------------------------------------------------------------- idling

    def _watch_idle(self) -> None:
        if self._janitor is None or self._janitor.done():
            self._janitor = self._in_background(self._retire_idle())

    async def _retire_idle(self) -> None:
        """Close each session that nobody took in time; end when none is left.

        If the loop ends before `close`, cut what is left.
        """
        try:
            while self._idle:
                due = self._idle[0].since + self._idle_seconds
                await asyncio.sleep(max(0.0, due - _now()))
                async with self._slots:
                    session = self._take_expired()
                    if session is not None:
                        await session.quit()
        except asyncio.CancelledError:
            for one in self._idle:
                one.session.abort()
            raise

    def _take_expired(self) -> SmtpSession | None:
        if self._idle and _now() >= self._idle[0].since + self._idle_seconds:
            return self._idle.pop(0).session
        return None

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _now() -> float:
    """The loop's own clock, which is also the one that it sleeps by."""
    return asyncio.get_running_loop().time()
