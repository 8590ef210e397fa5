"""Impatient psycopg: connections to PostgreSQL that never wait for an answer for ever,
and that work through PgBouncer.

A server that is silent does not watch its own ``statement_timeout``, and libpq has no
time limit for reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

from psycopg import Connection, OperationalError

T = TypeVar("T")
Steps = Generator[Any, Any, T]
"""How psycopg asks a server: it yields what it waits for, and is sent what is ready."""


def impatient(answer_seconds: float) -> Callable[..., Connection[tuple[Any, ...]]]:
    """What connects as psycopg does.

    Where an answer takes longer than ``answer_seconds``, the connection is closed and
    ``OperationalError`` raised.
    """

    class Impatient(Connection[tuple[Any, ...]]):
        pooled = False
        """Whether a pooler lends its connections to it for a transaction each."""

        def wait(self, gen: Steps[T], *how: Any, **more: Any) -> T:
            try:
                return super().wait(_within(answer_seconds, gen), *how, **more)
            except NoAnswer:
                self.pgconn.finish()
                raise

    return Impatient.connect


class NoAnswer(OperationalError):
    """The server has been silent for too long."""


class SetUp:
    """Makes settings hold on connections of one's own, and on those of a pooler.

    A pooler, as PgBouncer in transaction mode, has each transaction on whatever
    connection is free: what is set there must end with the transaction, and statements
    are not prepared, unless this one ``prepares`` them (PgBouncer 1.21 can).
    """

    def __init__(self, session: Mapping[str, object], *, prepares: bool) -> None:
        self._prepares = prepares
        self._of_session = _set(session, local=False)
        self._of_transaction = _set(session, local=True)

    def connection(self, driver: Any) -> None:
        """Set what holds for as long as a new connection does."""
        driver.autocommit = True
        driver.pooled = is_pooled(driver)
        if not driver.pooled:
            driver.execute(self._of_session)
        elif not self._prepares:
            driver.prepare_threshold = None
        driver.autocommit = False

    def transaction(self, driver: Any) -> None:
        """Set what could not be set before."""
        if driver.pooled:
            driver.execute(self._of_transaction)


def is_pooled(driver: Connection[Any]) -> bool:
    """Whether a pooler stands between us and the server.

    It gives its clients a number of its own, and they meet another's at the server.
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
    """Go through the steps, but wait at most so long."""
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
