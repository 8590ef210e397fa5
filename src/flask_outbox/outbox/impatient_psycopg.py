"""Impatient psycopg: connections to PostgreSQL that never wait for an answer for ever.

A server that is silent does not watch its own ``statement_timeout``, and libpq has no
time limit for reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
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
        def wait(self, gen: Steps[T], *how: Any, **more: Any) -> T:
            try:
                return super().wait(_within(answer_seconds, gen), *how, **more)
            except NoAnswer:
                self.pgconn.finish()
                raise

    return Impatient.connect


class NoAnswer(OperationalError):
    """The server has been silent for too long."""


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
