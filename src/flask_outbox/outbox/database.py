"""The outbox's database: connections, transactions, and its errors made ours."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import URL, make_url

from ..errors import ConfigError, OutboxUnavailable, SchemaError
from .group_commit import GroupCommit
from .schema import REVISION, VERSION_TABLE

T = TypeVar("T")

DRIVER_ERRORS = (exc.SQLAlchemyError, sqlite3.Error)
"""What a database may raise, by way of SQLAlchemy or from the driver's own cursor."""

BUSY_SECONDS = 10.0
"""How long a writer waits for SQLite's one write lock before it gives up: far longer
than any transaction of ours, far shorter than a web server's patience."""

_ABANDONED: list[object] = []
"""What a forked child inherited: never closed, for closing a database file in the child
closes it under the parent (https://sqlite.org/howtocorrupt.html, section 2.6)."""


class Database:
    """One outbox's database, opened at first use; safe to share between threads.

    ``durability`` is ``full`` (a commit is on the disk) or ``process`` (a commit
    survives the process, not a power cut).
    """

    def __init__(self, url: str, durability: str = "full") -> None:
        self.url = _parse(url)
        self.durability = durability
        self._open_fresh()

    def _open_fresh(self) -> None:
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._writer: Connection | None = None
        self._group = GroupCommit(self._transaction)

    @property
    def shown(self) -> str:
        """The URL for people, without its password."""
        return shown_url(self.url)

    @property
    def embedded(self) -> bool:
        """Whether this is a file of our own, made and upgraded without being asked."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, its tables checked.

        Raises `SchemaError` when the tables are missing or of another version, except
        that the embedded outbox makes them.
        """
        if self._engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._open()
        return self._engine

    def _open(self) -> Engine:
        engine = self.connect()
        try:
            with self.errors():
                self._check_schema(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def connect(self) -> Engine:
        """A new engine, whatever state the tables are in."""
        if self.embedded:
            return _sqlite_engine(self.url, self.durability)
        return create_engine(self.url, pool_pre_ping=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for questions: one consistent view, nothing written."""
        with self.errors(), self.engine.connect() as connection:
            yield connection.execution_options(outbox_reading=True)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction and return what it returned, once durable.

        Concurrent callers share one commit. Raises `OutboxUnavailable` when nothing was
        stored.
        """
        with self.errors():
            return self._group.run(work)

    def _transaction(self, work: Callable[[Connection], None]) -> None:
        if self._writer is None:
            self._writer = self.engine.connect()
        try:
            with self._writer.begin():
                work(self._writer)
        except DRIVER_ERRORS:
            self._drop_writer()
            raise

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.invalidate()
            writer.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the database's errors into ours, with what to do."""
        try:
            yield
        except DRIVER_ERRORS as error:
            self._explain(error)

    def _explain(self, error: Exception) -> NoReturn:
        reason = str(getattr(error, "orig", None) or error)
        raise OutboxUnavailable(
            f"The outbox at {self.shown} cannot be used: {reason}. {_advice(reason)}"
        ) from error

    def _check_schema(self, engine: Engine) -> None:
        present = _revision(engine)
        if present == REVISION:
            return
        if self.embedded:
            self.upgrade(engine)
            return
        if present is None:
            raise SchemaError(
                f"The outbox at {self.shown} has no tables: run 'flask outbox init'."
            )
        raise SchemaError(
            f"The outbox at {self.shown} is at version {present}, this Flask-Outbox "
            f"needs {REVISION}: run 'flask outbox upgrade'."
        )

    def upgrade(self, engine: Engine | None = None) -> None:
        """Make the tables, or bring them to this version; nothing if they are."""
        from .migrations import upgrade

        own = engine or self.connect()
        try:
            with self.errors():
                upgrade(own)
        finally:
            if engine is None:
                own.dispose()

    def close(self) -> None:
        """Give all connections back; the next use opens new ones."""
        if self._writer is not None:
            self._writer.close()
        if self._engine is not None:
            self._engine.dispose()
        self._writer = self._engine = None

    def abandon(self) -> None:
        """Forget the parent's connections in a forked child, without closing them."""
        _ABANDONED.extend((self._engine, self._writer))
        self._open_fresh()


def shown_url(url: str | URL) -> str:
    """A database URL for people, without its password."""
    return make_url(url).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (exc.ArgumentError, exc.NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            f"OUTBOX_URL is not a database URL: {error}. It looks like "
            '"sqlite:////var/lib/app/outbox.db" or "postgresql://user@host/name".'
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (
        None,
        "",
        ":memory:",
    ):
        raise ConfigError(
            "OUTBOX_URL names an SQLite database in memory, which loses all mail when "
            "the process ends. Name a file, in tests one in a temporary folder."
        )
    return parsed


def _sqlite_engine(url: URL, durability: str) -> Engine:
    assert url.database
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    synchronous = "FULL" if durability == "full" else "NORMAL"

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        deferred = connection.get_execution_options().get("outbox_reading")
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN" if deferred else "BEGIN IMMEDIATE")

    return engine


def _revision(engine: Engine) -> str | None:
    """The version of the tables, or None where there are none."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, VERSION_TABLE):
            return None
        found: Any = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
        return found and str(found)


_ADVICE = {
    "locked": "Another process holds the write lock for too long.",
    "readonly": "Its file or folder cannot be written by this user.",
    "full": "Make room on the disk.",
    "malformed": "The file is damaged: restore it, or move it away to begin anew.",
    "not a database": "The file is not an SQLite database: look at OUTBOX_URL.",
    "unable to open": "Its folder must exist and be writable.",
    "refused": "Is the database server running?",
}


def _advice(reason: str) -> str:
    for word, advice in _ADVICE.items():
        if word in reason:
            return f"{advice} Nothing was stored."
    return "Nothing was stored."
