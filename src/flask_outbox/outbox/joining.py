"""Joining: a message handed over inside a transaction of the app's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from ..errors import ConfigError
from .database import Database
from .dialects import shown_url
from .enqueue import enqueue
from .records import NewMessage, Receipt

_LOCAL = {None, "", "localhost", "::1"}
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


class Joined:
    """The app's session or connection, with the outbox's tables in its reach.

    What is enqueued here exists if and only if that transaction commits. Raises
    `ConfigError` unless ``given`` is on the outbox's own database.
    """

    def __init__(self, database: Database, given: Any) -> None:
        self._database = database
        database.open()
        self._owner = _owner(given)
        self._connection = _connection(self._owner)
        theirs = self._connection.engine.url
        if _place(theirs) != _place(database.url):
            raise ConfigError(
                f"session= is on {shown_url(theirs)}, but the outbox is kept in "
                f"{database.shown}: two databases cannot commit as one. Set OUTBOX_URL "
                "to the app's database, or send without session= after the commit."
            )

    def enqueue(self, new: NewMessage) -> Receipt:
        """Add ``new`` to the transaction, or find the message with its key."""
        with self._database.errors():
            try:
                with self._guarded():
                    return enqueue(self._connection, [new], None)[0]
            except (IntegrityError, self._connection.dialect.loaded_dbapi.Error):
                if new.key is None:
                    raise
                return enqueue(self._connection, [new], None)[0]

    def on_commit(self, call: Callable[[], object]) -> None:
        """Call once the transaction has committed."""
        event_name = "commit" if isinstance(self._owner, Connection) else "after_commit"
        event.listen(self._owner, event_name, lambda _: call(), once=True)

    def _guarded(self) -> Any:
        """A savepoint where a refused row would break the whole transaction."""
        if self._connection.dialect.name == "postgresql":
            return self._connection.begin_nested()
        return nullcontext()


def _owner(given: Any) -> Session | Connection:
    if isinstance(given, scoped_session):
        given = given()
    if isinstance(given, Session | Connection):
        return given
    raise ConfigError(
        f"session= is {given!r}: pass an SQLAlchemy Session (such as db.session) or "
        "Connection."
    )


def _connection(owner: Session | Connection) -> Connection:
    return owner if isinstance(owner, Connection) else owner.connection()


def _place(url: URL) -> tuple[object, ...]:
    """What two URLs of the same database have in common."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return backend, Path(url.database or "").resolve()
    host = "127.0.0.1" if url.host in _LOCAL else url.host
    family = "mysql" if backend == "mariadb" else backend
    return family, host, url.port or _PORTS[backend], url.database
