"""The outbox's database: its schema, transactions, clock and errors.

Every change goes through `Database.write` or a method that begins with that name. They
keep the database open while they work, repeat a transaction that conflicted with
another, and turn database errors into `OutboxUnavailable`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, event, exc, text
from sqlalchemy.pool import ConnectionPoolEntry

from ..concurrency import gevent_patched, run_blocking
from ..config import EncryptionKey
from ..errors import OutboxUnavailable, SchemaError, StoreError, redacted
from ..limits import CHANCE
from .database_errors import Fault, advice, fault_of, words_of
from .dialects import (
    BUSY_SECONDS,
    SERVER_NOW,
    disable_busy_timeout,
    enable_busy_timeout,
    is_alive,
    open_engine,
    parse_url,
    short_lock_timeout,
    shown_url,
    without_busy_wait,
)
from .encryption import Keyring
from .group_commit import GroupCommit, SharedWork, Work, run_all
from .key_register import is_registered, register, take_anew
from .own_transactions import begins_by_itself, open_here, watch
from .schema import OUTDATED, REVISION, version_of
from .sealed import KEYS

T = TypeVar("T")

QUIESCE_SECONDS = 2 * BUSY_SECONDS
"""How long a fork, or `Database.close`, waits for other threads to finish their
transactions: none takes longer."""

_INHERITED: list[object] = []
"""Connections that a child process inherited. They are kept, so that none is ever
closed: that would disturb the parent (https://sqlite.org/howtocorrupt.html, 2.6)."""


CONFLICTS = 8
"""How often a transaction is repeated after a conflict before that is an error."""

CONFLICT_PAUSE_SECONDS = 0.01
"""The longest pause before the first repetition; it doubles with each. It is shorter by
chance, so that those that were in each other's way come one after another."""

REGISTER_SECONDS = 1.0
"""How often a process makes sure of the look-up key of an encrypted outbox."""

USAGE_POLL_SECONDS = 0.001
"""How often `UsageGate.close` checks whether users are left."""

RETRY_SECONDS = (0.01, 0.1)
"""The shortest and the longest pause between two tries of
`Database.write_with_lock_retry`."""


class Conflict(OutboxUnavailable):
    """Another transaction wrote the same rows at the same time: try again."""


class Locked(OutboxUnavailable):
    """Another transaction holds a row or a key that this one needs: try later."""


_KINDS = {Fault.CONFLICT: Conflict, Fault.LOCKED: Locked}


class Database:
    """One outbox's database, opened at first use; safe to share between threads.

    ``durability`` is ``full`` (a commit is on the disk) or ``process`` (a commit
    survives the end of the process, but not a power cut). ``listen_url`` leads directly
    to the same database, if ``url`` leads to a pooler. What is personal in it is
    encrypted with ``keys``, if there are any: those of the setting ``keys_from``.
    """

    def __init__(
        self,
        url: str,
        durability: str = "full",
        listen_url: str | None = None,
        keys: Sequence[EncryptionKey] | None = None,
        keys_from: str = "OUTBOX_ENCRYPTION_KEYS",
    ) -> None:
        self.url: URL = parse_url(url)
        self.keys: Keyring | None = Keyring(keys) if keys else None
        """The keys by which it is encrypted; None if it is not."""
        self.embedded: bool = self.url.get_backend_name() == "sqlite"
        """Whether this is an SQLite file, which is made and upgraded automatically."""
        self.shown: str = shown_url(url)
        """The URL to show to people, without its password."""
        self.durability = durability
        self._listen_url = listen_url
        self._keys_from = keys_from
        if self.embedded:
            watch()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._gate = UsageGate()
        self._opening = threading.Lock()
        self._opening_thread: int | None = None
        self._engine: Engine | None = None
        self._closing = threading.Lock()
        self._writer: Connection | None = None
        self._wrote_at = 0.0
        self._register_due = 0.0
        self._group_commit = GroupCommit(self._commit)
        self._file: FileIdentity | None = None
        self._driver_error: type[Exception] = sqlite3.Error
        self._server_epoch: float | None = None
        """The server's time, in epoch seconds, when our monotonic clock was at zero."""

    # Opening

    @property
    def opened(self) -> bool:
        """Whether the database is open and its tables are checked."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, with its tables checked.

        Raises `SchemaError` if the tables are missing or of another version. An
        embedded outbox makes or upgrades them instead.
        """
        if self._engine is None:
            me = threading.get_ident()
            if self._opening_thread == me:
                raise self._reentrant_call("opening")
            with self._opening:
                try:
                    self._opening_thread = me
                    if self._engine is None:
                        self._engine = self._open()
                finally:
                    self._opening_thread = None
        return self._engine

    def open(self) -> None:
        """Open the database and check its tables now, instead of at first use."""
        with self._gate.use(), self.errors("Nothing was stored."):
            _ = self.engine
            self._follow_register()

    def new_engine(self, *, patient: bool = False) -> Engine:
        """A new engine; the tables are not checked.

        If it is ``patient``, no answer of a server is given up.
        """
        engine = open_engine(self.url, self.durability, patient=patient)
        if self.keys is not None:
            engine.update_execution_options(**{KEYS: self.keys})
        self._driver_error = engine.dialect.loaded_dbapi.Error
        return engine

    def _open(self) -> Engine:
        engine = self.new_engine()
        try:
            with self.errors("Nothing was stored."):
                self._check_schema(engine)
                self._check_keys(engine)
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
        if self.embedded and present != OUTDATED:
            self.upgrade(engine)
            return
        raise self._other_version(present)

    def _check_keys(self, engine: Engine) -> None:
        with engine.execution_options(outbox_reading=True).connect() as connection:
            if is_registered(connection, self.keys, self._keys_from):
                return
        self._register_keys(engine)

    def _register_keys(self, engine: Engine) -> None:
        with engine.connect() as connection:
            self._transact(connection, [self.check_keys_on])

    def _follow_register(self) -> None:
        """Take the look-up key anew, at most once in `REGISTER_SECONDS`.

        Under a process that runs on, a backup may have been restored in which it is
        another one, or nothing is encrypted: then nobody suppressed would be found.
        """
        now = time.monotonic()
        if self.keys is None or now < self._register_due:
            return
        engine = self.engine
        with engine.execution_options(outbox_reading=True).connect() as connection:
            is_there = take_anew(connection, self.keys)
        if not is_there:
            self._register_keys(engine)
        self._register_due = now + REGISTER_SECONDS

    def check_keys_on(self, connection: Connection) -> None:
        """Check and register the keys, in a transaction that the caller commits.

        Raises `KeyRefused`.
        """
        registered = is_registered(connection, self.keys, self._keys_from)
        if not registered and self.keys is not None:
            register(connection, self.keys, self._keys_from)

    def check_version(self) -> None:
        """Raise `SchemaError` unless the tables are, now, those of this version."""
        with self.reading() as connection:
            present = version_of(connection)
        if present != REVISION:
            raise self._other_version(present)

    def _other_version(self, present: str | None) -> SchemaError:
        if present is None:
            return SchemaError(
                f"The outbox at {self.shown} has no tables: run 'flask outbox init'.",
                anchor="no-tables",
            )
        if present == OUTDATED:
            return self._outdated()
        if present > REVISION:
            return self._newer()
        return SchemaError(
            f"The outbox at {self.shown} is at version {present}, this Flask-Outbox "
            f"needs {REVISION}: run 'flask outbox upgrade'.",
            anchor="older",
        )

    def own_connection(self) -> Any:
        """A new connection of the driver, which the caller must close."""
        with self._gate.use(), self.errors():
            pooled = self.engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            return driver

    def listening_connection(self) -> Any:
        """A connection of the driver that receives notifications; the caller closes it.

        Raises `OutboxUnavailable` if only a pooler can be reached.
        """
        if self._listen_url is not None:
            return _listening(self._listen_url)
        driver = self.own_connection()
        if not driver.pooled:
            return driver
        driver.close()
        raise OutboxUnavailable(
            f"The outbox at {self.shown} is behind a pooler, such as PgBouncer in "
            "transaction mode, which does not pass on notifications: set "
            "OUTBOX_LISTEN_URL to the database itself. Until then workers poll.",
            anchor="pooler",
        )

    def version(self) -> str | None:
        """The version of the tables; None if there are none."""
        engine = self.new_engine()
        try:
            with self.errors():
                return _version(engine)
        finally:
            engine.dispose()

    def upgrade(
        self, engine: Engine | None = None, note: Work[None] | None = None
    ) -> None:
        """Make the tables, or bring them to this version if they are older.

        If that changes anything, ``note`` runs in the same transaction, on databases
        where that holds changes of tables, too.
        """
        from . import migrations  # noqa: F401 - slow to load: not under the write lock

        def work(connection: Connection) -> None:
            if self.upgrade_on(connection) and note is not None:
                note(connection)

        own = engine or self.new_engine(patient=True)
        try:
            with self.errors():
                self._set_clock(own)
                with own.connect() as connection:
                    self._transact(connection, [work])
        finally:
            if engine is None:
                own.dispose()

    def upgrade_on(self, connection: Connection) -> bool:
        """Do what `upgrade` does, in a transaction that the caller commits; whether it
        changed anything.
        """
        from .migrations import UnknownRevision, upgrade

        present = version_of(connection)
        if present == REVISION:
            return False
        if present == OUTDATED:
            raise self._outdated()
        try:
            return upgrade(connection)
        except UnknownRevision as error:
            raise self._newer() from error

    def _newer(self) -> SchemaError:
        return SchemaError(
            f"The outbox at {self.shown} has a version that this Flask-Outbox "
            f"(version {REVISION}) does not know: install a newer Flask-Outbox.",
            anchor="newer",
        )

    def _outdated(self) -> SchemaError:
        return SchemaError(
            f"The outbox's tables at {self.shown} were made by the app's own "
            f"migrations and differ from version {REVISION}, which this Flask-Outbox "
            "needs: run 'flask db migrate' and 'flask db upgrade'.",
            anchor="own-migrations",
        )

    def close(self) -> None:
        """Close all connections; the next use opens new ones.

        Waits for threads that use them, because closing an SQLite connection during a
        statement can crash the process.
        """
        try:
            if self._gate.close(QUIESCE_SECONDS):
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
        """Close all connections, and open none until the fork is over.

        A child that inherits an open SQLite file believes that it holds the parent's
        locks, even on connections that it opens itself. Then the next process to close
        the file may delete the log while the child uses it.
        Source: https://sqlite.org/howtocorrupt.html, section 2.6.
        """
        if self._gate.close(QUIESCE_SECONDS):
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Admit users again; the next use opens new connections."""
        self._gate.open()

    def after_fork_in_child(self) -> None:
        """Start without connections, and never close the inherited ones."""
        _INHERITED.extend((self._engine, self._writer))
        self._start_afresh()

    # Reading and writing

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading only."""
        with self._gate.use(), self.errors():
            self._follow_register()
            with self.engine.connect() as connection:
                yield connection.execution_options(outbox_reading=True)

    def write(self, work: Work[T], *, grouped: bool = True) -> T:
        """Run ``work`` in a transaction; return its result once that is durable.

        Concurrent callers share one commit, unless one is not ``grouped``. ``work`` may
        run more than once, as after a conflict with another transaction, so it must
        have no effect but on its connection.

        Raises `OutboxUnavailable` if nothing was stored; also if this thread is in the
        middle of a write already. Then a signal handler or the like interrupted that
        write, and waiting for it would be a deadlock.
        """
        me, gate = threading.get_ident(), self._gate
        if me in gate.users:
            raise self._reentrant_call("writing to")
        commit = self._group_commit.run if grouped else self._commit_ungrouped
        if any(map(begins_by_itself, self._own_transactions())):  # it has written
            commit = self._commit_at_once
        conflicts = 0
        while True:
            try:
                gate.admit(me)
                self._follow_register()
                return commit(work)
            except (exc.SQLAlchemyError, self._driver_error) as error:
                explained = self._explained(error, "Nothing was stored.")
                conflicts += 1
                if conflicts > CONFLICTS or not isinstance(explained, Conflict):
                    raise explained from error
                longest = CONFLICT_PAUSE_SECONDS * 2 ** (conflicts - 1)
            finally:
                gate.users.discard(me)
            time.sleep(CHANCE.uniform(0, longest))

    def write_ungrouped(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction that shares its commit with no other.

        It does not wait for other callers' work, except on SQLite, which has one write
        lock. Otherwise as `write`.
        """
        return self.write(work, grouped=False)

    def write_apart(self, work: Work[T]) -> T:
        """Write, but not behind the ends of attempts that are being written, where
        there is more than one write lock.
        """
        return self.write(work, grouped=self.embedded)

    def write_unless_locked(self, work: Work[T]) -> T:
        """Run ``work``; raise `Locked` almost at once if another transaction has locked
        what it needs. On SQLite, which has one write lock, this is `write`.
        """
        if self.embedded:
            return self.write(work)

        def run(connection: Connection) -> T:
            with short_lock_timeout(connection):
                return work(connection)

        return self.write_ungrouped(run)

    def write_with_lock_retry(self, work: Work[T]) -> T:
        """Run ``work``, which may need a key that another transaction has locked.

        Waits up to `BUSY_SECONDS` for it, then raises `Locked`. Meanwhile it delays no
        other caller and occupies no connection. On SQLite, which has one write lock,
        this is `write`.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        shortest, longest = RETRY_SECONDS
        pause = shortest
        while True:
            try:
                return self.write_unless_locked(work)
            except Locked:
                if time.monotonic() > deadline:
                    raise
            time.sleep(CHANCE.uniform(shortest, pause))
            pause = min(longest, 2 * pause)

    def _own_transactions(self) -> list[Any]:
        """The app's transactions on the file that this thread has begun."""
        return open_here(self.url.database) if self.embedded else []

    def _busy_by_itself(self) -> OutboxUnavailable:
        return OutboxUnavailable(
            f"The outbox at {self.shown} cannot be used: a transaction that this "
            "thread has begun is still open and holds the write lock of the same file. "
            "Pass session= (such as session=db.session) to send in that transaction, "
            "or send after its commit. Nothing was stored.",
            anchor="own-transaction",
        )

    def _reentrant_call(self, doing: str) -> OutboxUnavailable:
        return OutboxUnavailable(
            f"This thread was interrupted while {doing} the outbox at {self.shown}, "
            "and the code that interrupted it, such as a signal handler, sends mail: "
            "set a flag there and send afterwards, or send from another thread. "
            "Nothing was stored.",
            anchor="interrupted",
        )

    def _commit(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Run ``works`` in one transaction; return their results once it is durable."""
        if "gevent" in sys.modules and gevent_patched():
            return run_blocking(lambda: self._commit_on_writer(works))
        return self._commit_on_writer(works)

    def _commit_on_writer(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Do what `_commit` does, on the connection that is kept for it."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer = self._if_usable(writer)
            if writer is None:
                writer = self.engine.connect()
                if self.embedded:
                    disable_busy_timeout(writer)
            results = self._transact(writer, works, self._file_of(writer))
        except StoreError as error:
            if writer is not None and writer.engine is self._engine:
                self._writer = writer
            else:
                self._discard(writer, error)
            raise
        except BaseException as error:
            self._discard(writer, error)
            raise
        self._writer, self._wrote_at = writer, time.monotonic()
        return results

    def _if_usable(self, writer: Connection) -> Connection | None:
        """The kept connection, unless the server has ended it while it was idle, or it
        is to a file that another thread saw replaced.
        """
        is_current = writer.engine is self._engine
        if is_current and (self.embedded or is_alive(writer, self._wrote_at)):
            return writer
        writer.invalidate()
        writer.close()
        return None

    def _commit_ungrouped(self, work: Work[T]) -> T:
        return run_blocking(lambda: self._commit_on_own_connection(work))

    def _commit_at_once(self, work: Work[T]) -> T:
        """Do what `_commit_ungrouped` does, without waiting for SQLite's write lock."""

        def commit() -> T:
            with without_busy_wait():
                return self._commit_on_own_connection(work)

        return run_blocking(commit)

    def _commit_on_own_connection(self, work: Work[T]) -> T:
        with self.engine.connect() as connection:
            if self.embedded:
                disable_busy_timeout(connection)
            try:
                file = self._file_of(connection)
                result: T = self._transact(connection, [work], file)[0]
            except BaseException as error:
                if fault_of(error) is Fault.FILE_READ_ONLY:
                    self._discard(connection, error)
                raise
            finally:
                if self.embedded and not connection.closed:
                    enable_busy_timeout(connection)
        return result

    def _transact(
        self,
        connection: Connection,
        works: Sequence[Work[Any]],
        file: FileIdentity | None = None,
    ) -> list[Any]:
        """Run ``works`` in a transaction, which always ends here, also on an exception.

        On SQLite an open one would keep the write lock. Raises `OutboxUnavailable` if
        ``file`` was replaced.
        """
        try:
            results = self._run_and_commit(connection, works)
        except (exc.SQLAlchemyError, self._driver_error):
            self._check_file(file)  # an empty one would have no tables
            raise
        self._check_file(file)
        return results

    def _run_and_commit(
        self, connection: Connection, works: Sequence[Work[Any]]
    ) -> list[Any]:
        (kind, *others) = {*map(type, works)}
        if issubclass(kind, SharedWork) and not others:
            shared: Any = works[0]
            results: list[Any] | None = shared.run_and_commit(connection, works)
            if results is not None:
                return results
        if not self.embedded:
            with connection.begin():
                return run_all(connection, works)
        driver: Any = connection.connection.dbapi_connection
        try:
            with connection.begin():
                return run_all(connection, works)
        finally:
            driver.rollback()  # does nothing after a commit

    def _discard(self, writer: Connection | None, error: BaseException) -> None:
        """Close a connection after an error, as its state is unknown.

        One to a server goes back to the pool, which resets it.
        """
        if writer is not None:
            if self.embedded:
                writer.invalidate()
            writer.close()
        if self._engine is not None and fault_of(error) is Fault.FILE_READ_ONLY:
            self._close_all(self._engine)  # others stay read-only as long as one does

    def _close_all(self, engine: Engine) -> None:
        """Close the engine's connections; those in use, when they are given back."""
        with self._closing:  # of two threads, each would make a pool for the other's
            pool = engine.pool
            engine.dispose()
            event.listen(pool, "checkin", _close)
            pool.dispose()  # what was given back meanwhile

    def check_file(self) -> None:
        """Raise `OutboxUnavailable` if the file is not the one that was opened."""
        self._check_file(self._file)

    def _file_of(self, connection: Connection) -> FileIdentity | None:
        """The file that ``connection`` has open; None if it is to a server.

        Raises `OutboxUnavailable` if another thread saw that it was replaced.
        """
        file = self._file
        if self.embedded and connection.engine is not self._engine:
            raise self._replaced()
        return file

    def _check_file(self, file: FileIdentity | None) -> None:
        if file is None or identity_of(self.url.database) == file:
            return
        if self._file == file:
            engine, self._engine, self._file = self._engine, None, None
            if engine is not None:
                self._close_all(engine)
        raise self._replaced()

    def _replaced(self) -> OutboxUnavailable:
        return OutboxUnavailable(
            f"The file of the outbox at {self.shown} was deleted or replaced while in "
            "use: writes would go to the old file, which can no longer be opened. "
            "Nothing was stored. The next call opens the file at that path, or creates "
            "it. Stop the app before you move its outbox.",
            anchor="replaced",
        )

    # The clock

    def now(self) -> float:
        """The time in epoch seconds by the database's clock, which all machines share.

        A server is asked at first use. Its answer is then advanced by this machine's
        monotonic clock, so how this machine's wall clock is set makes no difference.
        """
        if self.embedded:
            return time.time()
        if self._server_epoch is None:
            self.open()
        assert self._server_epoch is not None
        return self._server_epoch + time.monotonic()

    def set_clock(self) -> None:
        """Ask the database server for its time again."""
        with self._gate.use(), self.errors():
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
        """Turn database errors into ours, which say what to do."""
        try:
            yield
        except (exc.SQLAlchemyError, self._driver_error) as error:
            raise self._explained(error, epilogue) from error

    def _explained(self, error: Exception, epilogue: str) -> OutboxUnavailable:
        """Our error for the database's, which says what to do."""
        fault = fault_of(error)
        if fault is Fault.BUSY and self._own_transactions():
            return self._busy_by_itself()
        reason = redacted(words_of(error))
        kind = _KINDS.get(fault, OutboxUnavailable) if fault else OutboxUnavailable
        return kind(
            f"The outbox at {self.shown} cannot be used: {reason}. "
            f"{advice(error, epilogue)}",
            anchor=fault.anchor if fault else "",
        )


class UsageGate:
    """Lets any number of threads use something, or one thread keep all others out.

    An exception from outside, such as a signal handler's, may come at any moment: even
    then every user that leaves is removed, and the gate can be opened again.
    """

    def __init__(self) -> None:
        self._entrance = threading.RLock()
        self.users: set[object] = set()
        """Who is inside: a thread that writes is there by its number. Users remove
        themselves when they leave."""

    @contextmanager
    def use(self) -> Iterator[None]:
        """Count as a user, after waiting for a closed gate to open."""
        user, users = object(), self.users
        try:
            self.admit(user)
            yield
        finally:
            users.discard(user)

    def admit(self, user: object) -> None:
        """Add ``user`` to the users, after waiting for a closed gate to open."""
        with self._entrance:
            self.users.add(user)

    def close(self, timeout_seconds: float) -> bool:
        """Admit no new user until `open`, and wait until all users have left.

        False if some are left after ``timeout_seconds``; the gate is closed even then.
        Only the thread that closed it can open it.
        """
        self._entrance.acquire()
        deadline = time.monotonic() + timeout_seconds
        while self.users:
            if time.monotonic() > deadline:
                return False
            time.sleep(USAGE_POLL_SECONDS)
        return True

    def open(self) -> None:
        """Admit users again; does nothing if the gate is open."""
        with suppress(RuntimeError):
            self._entrance.release()


def _close(_driver: object, record: ConnectionPoolEntry) -> None:
    record.invalidate()


def _listening(url: str) -> Any:
    direct = Database(url)
    engine = direct.new_engine()
    try:
        with direct.errors():
            pooled = engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            return driver
    finally:
        engine.dispose()


FileIdentity = tuple[int, int]
"""Device and inode, which identify a file under any name."""


def identity_of(path: str | None) -> FileIdentity | None:
    """The identity of the file at ``path``; None if there is none."""
    try:
        status = os.stat(path or "")  # noqa: PTH116  # at each commit
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _version(engine: Engine) -> str | None:
    with engine.execution_options(outbox_reading=True).connect() as connection:
        return version_of(connection)
