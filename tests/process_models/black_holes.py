"""Servers that never answer, in several ways."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

CONNECT_SECONDS = 0.2
ATTEMPTS = 10


@contextmanager
def silent() -> Iterator[str]:
    """The ``MAIL_URL`` of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield _url_of(listener)


@contextmanager
def out_of_reach() -> Iterator[str]:
    """The ``MAIL_URL`` of a server to which no connection is ever made.

    Its queue of connections is full and never emptied: the system drops each new one.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(ATTEMPTS):
            queued = stack.enter_context(socket.socket())
            queued.settimeout(CONNECT_SECONDS)
            try:
                queued.connect(listener.getsockname())
            except TimeoutError:
                break
        else:
            raise AssertionError("its queue does not fill up")
        yield _url_of(listener)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds an SQLite file's write lock."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"smtp://{host}:{port}"
