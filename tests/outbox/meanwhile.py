"""Hooks into transactions: run code in the middle of one, or count commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from flask_outbox.outbox import Outbox

PATIENCE_SECONDS = 0.5
"""How long the transaction waits for the other one. It may pass in vain: a database may
make the other one wait until the transaction has ended."""


@contextmanager
def meanwhile(
    outbox: Outbox, statement: str, happens: Callable[[], Any]
) -> Iterator[Future[Any]]:
    """Have ``happens`` called once, just before ``outbox`` executes ``statement``.

    ``statement`` is its beginning. The result of ``happens`` is known after the block.
    """
    came: Future[Any] = Future()
    engine = outbox.database.engine

    def before(_conn: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.startswith(statement) and not begun:
            begun.append(threads.submit(happens))
            wait(begun, PATIENCE_SECONDS)

    begun: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as threads:
        event.listen(engine, "before_cursor_execute", before)
        try:
            yield came
        finally:
            event.remove(engine, "before_cursor_execute", before)
    assert begun, f"no statement began with {statement!r}"
    error = begun[0].exception()
    if error is None:
        came.set_result(begun[0].result())
    else:
        came.set_exception(error)


@contextmanager
def commits_of(outbox: Outbox) -> Iterator[list[Connection]]:
    """Collects each commit of ``outbox``."""
    commits: list[Connection] = []
    engine = outbox.database.engine

    def committed(connection: Connection) -> None:
        commits.append(connection)

    event.listen(engine, "commit", committed)
    try:
        yield commits
    finally:
        event.remove(engine, "commit", committed)
