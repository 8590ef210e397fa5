"""The app's own transactions on an SQLite file: who has one would wait for itself.

SQLite says only that somebody writes. If that is an open transaction of the very thread
that sends, it cannot end before `send` returns.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event


class _Begun(threading.local):
    """The connections on which this thread has begun transactions on SQLite."""

    def __init__(self) -> None:
        self.connections: WeakSet[Connection] = WeakSet()


_begun = _Begun()


def watch() -> None:
    """Have each thread note its transactions; calling it again changes nothing."""
    if not event.contains(Engine, "begin", _note):
        event.listen(Engine, "begin", _note)


def _note(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        _begun.connections.add(connection)


def open_here(path: str | None) -> list[Any]:
    """The driver's connections to the file at ``path`` that are in a transaction which
    this thread began.
    """
    drivers: list[Any] = []
    if not _begun.connections:  # as at most writes; a look at none is slower
        return drivers
    for one in list(_begun.connections):
        if one.closed or one.invalidated or not one.in_transaction():
            _begun.connections.discard(one)
        elif _is_same_file(one.engine.url.database, path):
            driver: Any = one.connection.dbapi_connection
            if getattr(driver, "in_transaction", False):
                drivers.append(driver)
    return drivers


def begins_by_itself(driver: Any) -> bool:
    """Whether Python's driver begins a transaction just before its first change, as it
    does by default; else the app begins it.
    """
    chosen = isinstance(getattr(driver, "autocommit", None), bool)  # Python 3.12
    return driver.isolation_level is not None and not chosen


def _is_same_file(one: str | None, other: str | None) -> bool:
    try:
        return Path(one or "").samefile(other or "")
    except OSError:
        return False
