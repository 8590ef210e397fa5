"""psycopg connections with a time limit for answers, which also work with PgBouncer.

A server that hangs or is cut off does not enforce its own ``statement_timeout``, and
libpq has no time limit for reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg import Connection, OperationalError, Pipeline

T = TypeVar("T")
Steps = Generator[Any, Any, T]
"""psycopg's protocol generators: they yield what to wait for, and are sent what is
ready."""


def connect_with_timeout(
    answer_seconds: float,
) -> Callable[..., Connection[tuple[Any, ...]]]:
    """A replacement for ``psycopg.connect``, whose connections limit their waits.

    If an answer takes longer than ``answer_seconds``, the connection is closed and
    `NoAnswer` raised.
    """

    class TimedConnection(Connection[tuple[Any, ...]]):
        pooled = False
        """Whether a pooler assigns a server connection to each transaction."""

        def wait(self, gen: Steps[T], *how: Any, **more: Any) -> T:
            try:
                return super().wait(_within(answer_seconds, gen), *how, **more)
            except NoAnswer:
                self.pgconn.finish()
                raise

        @contextmanager
        def pipeline(self) -> Iterator[Pipeline]:
            if self._pipeline is None:
                self._pipeline = SyncedPipeline(self)
            with super().pipeline() as pipeline:
                yield pipeline

    return TimedConnection.connect


class SyncedPipeline(Pipeline):
    """A pipeline that ends with a Sync.

    psycopg's sends a Flush after it, at which PostgreSQL forgets that it waits for the
    next statement: ``idle_in_transaction_session_timeout`` would have no effect.
    """

    def _exit_gen(self) -> Steps[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        except BaseException:
            yield from self._fetch_gen(flush=True)
            raise
        yield from self._fetch_gen(flush=False)


class NoAnswer(OperationalError):
    """The server has not answered within the time limit."""


class SessionSettings:
    """Applies settings to connections, whether direct or through a pooler.

    A pooler, such as PgBouncer in transaction mode, runs each transaction on any free
    server connection. So settings there last for one transaction, and statements are
    not prepared, unless the pooler ``prepares`` them (PgBouncer from 1.21 can).
    """

    def __init__(self, session: Mapping[str, object], *, prepares: bool) -> None:
        self._prepares = prepares
        self._of_session = _set(session, local=False)
        self._of_transaction = _set(session, local=True)

    def apply_to_connection(self, driver: Any) -> None:
        """Prepare a new connection: set the settings, unless there is a pooler."""
        driver.autocommit = True
        driver.pooled = is_pooled(driver)
        if not driver.pooled:
            driver.execute(self._of_session)
        elif not self._prepares:
            driver.prepare_threshold = None
        driver.autocommit = False

    def apply_to_transaction(self, driver: Any) -> None:
        """Set the settings for this transaction, if there is a pooler."""
        if driver.pooled:
            driver.execute(self._of_transaction)


def is_pooled(driver: Connection[Any]) -> bool:
    """Whether there is a pooler between us and the server.

    A pooler reports a backend PID of its own, which the server's differs from.
    """
    row = driver.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != driver.info.backend_pid


def _set(settings: Mapping[str, object], *, local: bool) -> bytes:
    calls = [
        f"set_config('{name}', '{value}', {str(local).lower()})"
        for name, value in settings.items()
    ]
    return ("SELECT " + (", ".join(calls) or "1")).encode()


def _within(seconds: float, steps: Steps[T]) -> Steps[T]:
    """Run ``steps``; raise `NoAnswer` if they still wait after ``seconds``."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise NoAnswer(
                    f"no answer in {seconds:g} seconds, so the connection is lost"
                )
            wanted = steps.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value
