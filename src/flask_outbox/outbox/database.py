"""The outbox's database: its schema, transactions, clock, and its errors made ours."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, Engine, exc, text

from ..errors import OutboxUnavailable, SchemaError, StoreError, redacted
from ..offhub import off_hub
from .dialects import (
    BUSY_SECONDS,
    SERVER_NOW,
    impatient,
    open_engine,
    parse_url,
    patient,
    shown_url,
)
from .faults import Fault, advice, fault_of
from .gate import Gate
from .group_commit import GroupCommit
from .schema import REVISION
from .versions import OUTDATED, version_of

T = TypeVar("T")

QUIET_SECONDS = 2 * BUSY_SECONDS
"""How long a fork, or the end, waits for what others do with the database: no
transaction takes longer."""

_ABANDONED: list[object] = []
"""What a child inherited from a fork that could not wait: never closed, for closing a
database file in the child closes it under the parent."""


class Conflict(OutboxUnavailable):
    """Somebody else wrote the same rows at the same moment: another try may do."""


class Held(OutboxUnavailable):
    """Somebody's transaction holds a row or a key that this needs: later it may do."""


_KINDS = {Fault.CONFLICT: Conflict, Fault.HELD: Held}


class Database:
    """One outbox's database, opened at first use; safe to share between threads.

    ``durability`` is ``full`` (a commit is on the disk) or ``process`` (a commit
    survives the process, not a power cut). ``listen_url`` leads to the same database
    without a pooler, where ``url`` leads to one.
    """

    def __init__(
        self, url: str, durability: str = "full", listen_url: str | None = None
    ) -> None:
        self.url = parse_url(url)
        self.shown = shown_url(url)
        """The URL for people, without its password."""
        self.durability = durability
        self._listen_url = listen_url
        self._open_fresh()

    def _open_fresh(self) -> None:
        self._gate = Gate()
        self._opening = threading.Lock()
        self._opens: int | None = None
        self._writing: set[int] = set()
        self._engine: Engine | None = None
        self._writer: Connection | None = None
        self._group = GroupCommit(self._transaction)
        self._file: FileIdentity | None = None
        self._driver_error: type[Exception] = sqlite3.Error
        self._server_epoch: float | None = None
        """What the server's clock said when our monotonic one stood at zero."""

    @property
    def embedded(self) -> bool:
        """Whether this is a file of our own, made and upgraded without being asked."""
        return self.url.get_backend_name() == "sqlite"

    # Opening

    @property
    def opened(self) -> bool:
        """Whether it is open, and its tables checked."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, its tables checked.

        Raises `SchemaError` when the tables are missing or of another version, except
        that the embedded outbox makes them.
        """
        if self._engine is None:
            me = threading.get_ident()
            if self._opens == me:
                raise self._interrupting("opening")
            with self._opening:
                try:
                    self._opens = me
                    if self._engine is None:
                        self._engine = self._open()
                finally:
                    self._opens = None
        return self._engine

    def open(self) -> None:
        """Open it now and check its tables, instead of at first use."""
        with self._gate.inside():
            _ = self.engine

    def connect(self) -> Engine:
        """A new engine, whatever state the tables are in."""
        engine = open_engine(self.url, self.durability)
        self._driver_error = engine.dialect.loaded_dbapi.Error
        return engine

    def _open(self) -> Engine:
        engine = self.connect()
        try:
            with self.errors("Nothing was stored."):
                self._check_schema(engine)
                self._set_clock(engine)
            self._file = identity_of(self.url.database) if self.embedded else None
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _check_schema(self, engine: Engine) -> None:
        present = _version(engine)
        if present == REVISION:
            return
        if present == OUTDATED:
            raise self._outdated()
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

    def own_connection(self) -> Any:
        """A connection of the driver's, which whoever asks must close."""
        with self._gate.inside(), self.errors():
            pooled = self.engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            return driver

    def listening_connection(self) -> Any:
        """A connection of the driver's on which notifications arrive, to be closed.

        Raises `OutboxUnavailable` where there is only a pooler's.
        """
        if self._listen_url is not None:
            return _listening(self._listen_url)
        driver = self.own_connection()
        if not driver.pooled:
            return driver
        driver.close()
        raise OutboxUnavailable(
            f"The outbox at {self.shown} is behind a pooler, such as PgBouncer in "
            "transaction mode, which passes no notifications on: set OUTBOX_LISTEN_URL "
            "to the database itself. Until then workers look for mail by themselves."
        )

    def version(self) -> str | None:
        """The version of the tables; None where there are none."""
        engine = self.connect()
        try:
            with self.errors():
                return _version(engine)
        finally:
            engine.dispose()

    def upgrade(self, engine: Engine | None = None) -> None:
        """Make the tables, or bring them to this version; nothing if they are."""
        own = engine or self.connect()
        try:
            with self.errors(), own.connect() as connection:
                self._transact(connection, self.upgrade_on)
        finally:
            if engine is None:
                own.dispose()

    def upgrade_on(self, connection: Connection) -> None:
        """The same in a transaction which whoever began it commits."""
        from .migrations import UnknownRevision, upgrade

        present = version_of(connection)
        if present == REVISION:
            return
        if present == OUTDATED:
            raise self._outdated()
        try:
            upgrade(connection)
        except UnknownRevision as error:
            raise SchemaError(
                f"The outbox at {self.shown} is of a version that this Flask-Outbox, "
                f"which knows {REVISION}, does not know: install a newer Flask-Outbox."
            ) from error

    def _outdated(self) -> SchemaError:
        return SchemaError(
            f"The outbox's tables at {self.shown} were made by the app's own "
            f"migrations, and are not those of version {REVISION}, which this "
            "Flask-Outbox needs: run 'flask db migrate' and 'flask db upgrade'."
        )

    def close(self) -> None:
        """Give all connections back; the next use opens new ones.

        What others do with them now is waited for: a connection of SQLite's that is
        closed while it works takes the process down.
        """
        try:
            if self._gate.shut(QUIET_SECONDS):
                self._disconnect()
        finally:
            self._gate.open()

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._engine is not None:
            self._engine.dispose()
        self._writer = self._engine = None

    # Forking

    def before_fork(self) -> None:
        """Close all connections, and let nobody open one, until the fork is over.

        A child that inherits an open SQLite file believes that it holds the parent's
        locks, whatever it opens itself; the next process to close the file then deletes
        the log under it (https://sqlite.org/howtocorrupt.html, section 2.6).
        """
        if self._gate.shut(QUIET_SECONDS):
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on; the next use opens new connections."""
        self._gate.open()

    def after_fork_in_child(self) -> None:
        """Begin anew."""
        _ABANDONED.extend((self._engine, self._writer))
        self._open_fresh()

    # Reading and writing

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for questions: nothing is written."""
        with self._gate.inside(), self.errors(), self.engine.connect() as connection:
            yield connection.execution_options(outbox_reading=True)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction and return what it returned, once durable.

        Concurrent callers share one commit. Raises `OutboxUnavailable` when nothing was
        stored.
        """
        return self._alone(lambda: self._group.run(work))

    def write_apart(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that shares its commit with nobody's.

        It waits for nobody else's work, except where a file has one lock for all.
        """
        return self._alone(lambda: off_hub(lambda: self._commit_apart(work)))

    def _alone(self, write: Callable[[], T]) -> T:
        """Call ``write`` unless this thread is in the middle of another one.

        Then it was interrupted, and would have to go on before this could end.
        """
        me, writing = threading.get_ident(), self._writing
        if me in writing:
            raise self._interrupting("writing to")
        try:
            writing.add(me)
            with self._gate.inside(), self.errors("Nothing was stored."):
                return write()
        finally:
            writing.discard(me)

    def _interrupting(self, doing: str) -> OutboxUnavailable:
        return OutboxUnavailable(
            f"This thread is in the middle of {doing} the outbox at {self.shown}, and "
            "was interrupted by what sends now, such as a signal handler: set a flag "
            "there and send afterwards, or send from another thread. Nothing was "
            "stored."
        )

    def _transaction(self, work: Callable[[Connection], None]) -> None:
        off_hub(lambda: self._commit(work))

    def _commit(self, work: Callable[[Connection], None]) -> None:
        if not self.embedded:
            with self.engine.begin() as connection:
                work(connection)
            return
        writer, self._writer = self._writer, None
        try:
            if writer is None:
                writer = self.engine.connect()
                impatient(writer)
            self._transact(writer, work)
        except StoreError as error:
            if writer is not None and writer.engine is self._engine:
                self._writer = writer
            else:
                self._give_up(writer, error)
            raise
        except BaseException as error:
            self._give_up(writer, error)
            raise
        self._writer = writer

    def _commit_apart(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            if not self.embedded:
                return self._transact(connection, work)
            impatient(connection)
            try:
                return self._transact(connection, work)
            finally:
                patient(connection)

    def _transact(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction, which is over whatever comes in between.

        What is left of it in a file would hold the one write lock.
        """
        if connection.dialect.name != "sqlite":
            with connection.begin():
                return work(connection)
        driver: Any = connection.connection.dbapi_connection
        try:
            with connection.begin():
                answer = work(connection)
        finally:
            driver.rollback()  # nothing where it is committed
        self.check_file()
        return answer

    def _give_up(self, writer: Connection | None, error: BaseException) -> None:
        """Close what met an error: what state it is in, nobody knows."""
        if writer is not None:
            writer.invalidate()
            writer.close()
        if self._engine is not None and fault_of(error) is Fault.FILE_READ_ONLY:
            self._engine.dispose()  # idle ones would keep the file as it was

    def check_file(self) -> None:
        """Raise `OutboxUnavailable` where the file is not the one that was opened."""
        kept = self._file
        if kept is None or identity_of(self.url.database) == kept:
            return
        engine, self._engine, self._file = self._engine, None, None
        if engine is not None:
            engine.dispose()
        raise OutboxUnavailable(
            f"The file of the outbox at {self.shown} was deleted or replaced while it "
            "was in use, and what is written goes into the old one, which nobody can "
            "open again. Nothing was stored. The next call opens the file that is "
            "there then, or makes it anew: stop the app before you move its outbox."
        )

    # The clock

    def now(self) -> float:
        """The epoch in seconds by the database's clock, which all machines share.

        A server is asked at first use, and its answer is carried on by a steady clock:
        how this machine's clock is set makes no difference.
        """
        if self.embedded:
            return time.time()
        if self._server_epoch is None:
            self.open()
        assert self._server_epoch is not None
        return self._server_epoch + time.monotonic()

    def set_clock(self) -> None:
        """Ask a database server once more what time it is."""
        with self._gate.inside(), self.errors():
            self._set_clock(self.engine)

    def _set_clock(self, engine: Engine) -> None:
        question = SERVER_NOW.get(self.url.get_backend_name())
        if question is None:
            return
        with engine.connect() as connection:
            asked = time.monotonic()
            answer = float(connection.scalar(text(question)) or 0.0)
            answered = time.monotonic()
        self._server_epoch = answer - (asked + answered) / 2

    # Errors

    @contextmanager
    def errors(self, epilogue: str = "") -> Iterator[None]:
        """Turn the database's errors into ours, with what to do."""
        try:
            yield
        except (exc.SQLAlchemyError, self._driver_error) as error:
            self._explain(error, epilogue)

    def _explain(self, error: Exception, epilogue: str) -> NoReturn:
        cause = getattr(error, "orig", None) or error
        # PostgreSQL adds the values of a row to what went wrong with it.
        said = getattr(getattr(cause, "diag", None), "message_primary", None) or cause
        reason = redacted(" ".join(str(said).split()))
        fault = fault_of(error)
        kind = _KINDS.get(fault, OutboxUnavailable) if fault else OutboxUnavailable
        raise kind(
            f"The outbox at {self.shown} cannot be used: {reason}. "
            f"{advice(error, epilogue)}"
        ) from error


def _listening(url: str) -> Any:
    direct = Database(url)
    engine = direct.connect()
    try:
        with direct.errors():
            pooled = engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            return driver
    finally:
        engine.dispose()


FileIdentity = tuple[int, int]
"""The device and the inode: what a file is, whatever its name."""


def identity_of(path: str | None) -> FileIdentity | None:
    """What the file at ``path`` is; None where there is none."""
    try:
        status = Path(path or "").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _version(engine: Engine) -> str | None:
    with engine.execution_options(outbox_reading=True).connect() as connection:
        return version_of(connection)
