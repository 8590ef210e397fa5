"""Messages enqueued within the app's own transaction (``session=``).

`AppTransaction` checks that the app's session or connection is on the outbox's own
database, adds messages to its transaction, and calls back when that commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, TwoPhaseTransaction, event, exc, text
from sqlalchemy.engine.base import Transaction

from ..errors import ConfigError, OutboxUnavailable
from ..recipient_guard import Guard
from .database import Database
from .database_errors import Fault, fault_of
from .dialects import shown_url
from .enqueue import enqueue, with_key
from .own_transactions import begins_by_itself
from .records import NewMessage, Receipt
from .sealed import KEYS

_FOUND = "flask_outbox"
"""Key in ``Connection.info`` for the database that the connection was found to be on.
"""

_FAMILIES = {"mariadb": "mysql"}

_IDENTITY = {
    "postgresql": "SELECT current_database(), pg_postmaster_start_time(), "
    "CAST(to_regclass('outbox_message') AS oid)",
    "mysql": "SELECT database(), @@hostname, @@port, @@datadir",
}
"""Backend → query whose result differs between any two databases.

URLs cannot be compared: one database may have several.
"""


def check_database(database: Database, connection: Connection) -> None:
    """Raise `ConfigError` unless ``connection`` is on the outbox's own database.

    Each connection of the driver is checked once.
    """
    place = database.url.render_as_string()
    if connection.info.get(_FOUND) == place:
        return
    if not _is_on(database, connection):
        raise _wrong_database(database, connection)
    connection.info[_FOUND] = place


def is_same_database(one: Database, other: Database) -> bool:
    """Whether two databases are the same, however their URLs are written."""
    with other.reading() as connection:
        return _is_on(one, connection)


def _is_on(database: Database, connection: Connection) -> bool:
    family = _family(connection.engine.url.get_backend_name())
    return family == _family(database.url.get_backend_name()) and (
        _same_file(database, connection)
        if family == "sqlite"
        else _same_server(database, connection, family)
    )


def _family(backend: str) -> str:
    return _FAMILIES.get(backend, backend)


def _same_file(database: Database, connection: Connection) -> bool:
    rows = connection.exec_driver_sql("PRAGMA database_list").all()
    (theirs,) = [Path(file) for _, name, file in rows if name == "main"]
    ours = Path(database.url.database or "")
    if theirs.exists() and ours.exists():
        return theirs.samefile(ours)
    return theirs.resolve() == ours.resolve()


def _same_server(database: Database, connection: Connection, family: str) -> bool:
    database.open()
    with database.reading() as own:
        ours = _identity(own, family)
    return ours == _identity(connection, family)


def _identity(connection: Connection, family: str) -> tuple[Any, ...]:
    return tuple(connection.execute(text(_IDENTITY[family])).one())


def _wrong_database(database: Database, connection: Connection) -> ConfigError:
    return ConfigError(
        f"session= is on {shown_url(connection.engine.url)}, but the outbox's tables "
        f"are in {database.shown}: two databases cannot commit as one. Set OUTBOX_URL "
        "to the app's database; or, if the session has several, pass "
        "session.connection(bind_arguments={'bind': engine}) with the engine of the "
        "outbox's database; or send without session= after the commit.",
        anchor="session-elsewhere",
    )


CommitIsOver = Callable[[], bool]
"""Tells whether a commit that has begun is over."""

Call = Callable[[CommitIsOver], object]


@dataclass(slots=True)
class _PendingCalls:
    """The calls that wait for one connection's commit, each with its savepoint depth.

    ``depth`` counts savepoints from where the first call was added. SQLAlchemy does not
    report savepoints that end together with an outer one. Then a call may be kept
    that was rolled back, but never one lost that should be made.
    """

    depth: int = 0
    calls: list[tuple[int, Call]] = field(default_factory=list)

    def clear(self) -> None:
        self.depth = 0
        self.calls = []


_pending: WeakKeyDictionary[Connection, _PendingCalls] = WeakKeyDictionary()


def on_commit(connection: Connection, call: Call) -> None:
    """Make ``call`` once, when the current transaction of ``connection`` commits.

    It is made as the commit begins, because SQLAlchemy has no event for its end; its
    argument is a function that tells whether the commit is over. A rollback, also one
    to a savepoint, drops the calls that were added since.
    """
    waiting = _pending.get(connection)
    if waiting is None:
        waiting = _pending[connection] = _PendingCalls()
        for name, listener in _LISTENERS.items():
            event.listen(connection, name, listener)
    waiting.calls.append((waiting.depth, call))


def _committing(connection: Connection) -> None:
    waiting, transaction = _pending[connection], connection.get_transaction()
    calls = waiting.calls
    waiting.clear()
    for _, call in calls:
        call(lambda: transaction is None or not transaction.is_active)


def _rolled_back(connection: Connection) -> None:
    _pending[connection].clear()


def _savepoint_begun(connection: Connection, _name: str | None) -> None:
    _pending[connection].depth += 1


def _savepoint_released(connection: Connection, _name: str, _context: None) -> None:
    waiting = _pending[connection]
    waiting.depth -= 1
    waiting.calls = [(min(deep, waiting.depth), call) for deep, call in waiting.calls]


def _savepoint_rolled_back(connection: Connection, _name: str, _context: None) -> None:
    waiting = _pending[connection]
    waiting.depth -= 1
    waiting.calls = [one for one in waiting.calls if one[0] <= waiting.depth]


_LISTENERS: dict[str, Callable[..., None]] = {
    "commit": _committing,
    "rollback": _rolled_back,
    "savepoint": _savepoint_begun,
    "release_savepoint": _savepoint_released,
    "rollback_savepoint": _savepoint_rolled_back,
}


_begun: WeakSet[Transaction] = WeakSet()
"""Transactions that SQLite is known to have begun before any savepoint."""

_WRITE_LOCK = "DELETE FROM outbox_lane WHERE 0"
"""Changes nothing, but takes SQLite's write lock."""


class AppTransaction:
    """Enqueues messages in the transaction of the app's session or connection.

    A message exists if and only if that transaction commits. Raises `TypeError` if
    given neither a session nor a connection, `ConfigError` if its transaction cannot
    hold a message (another database, two-phase, autocommit), and `OutboxUnavailable`
    if it cannot be used at the moment.
    """

    def __init__(self, database: Database, given: Any, guard: Guard) -> None:
        self._database = database
        self._guard = guard
        self._connection = _connection(given)
        if database.keys is not None:
            self._connection.execution_options(**{KEYS: database.keys})
            if database.opened or not database.embedded:
                database.open()  # which reads the look-up key
        self._driver: Any = self._connection.connection.dbapi_connection
        with self._errors():
            check_database(database, self._connection)
            self._begin()
            if database.embedded:
                self._prepare_file()

    def enqueue(self, new: NewMessage) -> Receipt:
        """Add ``new`` to the transaction, or return the message that has its key."""
        with self._errors():
            try:
                with self._savepoint():
                    return enqueue(self._connection, [new], self._guard)[0]
            except self._connection.dialect.loaded_dbapi.IntegrityError:
                present = self._present(new)
                if present is None:
                    raise
                return present

    def on_commit(self, call: Call) -> None:
        """Make ``call`` when the transaction commits, as `on_commit` describes."""
        on_commit(self._connection, call)

    def _present(self, new: NewMessage) -> Receipt | None:
        """The message that has just taken the key of ``new``.

        The app's transaction may not see it, if it reads an older snapshot.
        """
        if new.key is None:
            return None
        present = with_key(self._connection, new.key)
        if present is None:
            with self._database.reading() as connection:
                present = with_key(connection, new.key)
        return present

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """A savepoint, so that an error undoes the work here and nothing else.

        If the rollback fails too, the first error is raised.
        """
        savepoint = self._connection.begin_nested()
        try:
            yield
        except BaseException:
            with suppress(exc.SQLAlchemyError):
                savepoint.rollback()
            raise
        savepoint.commit()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the database's errors into ours, whichever driver the app uses."""
        with self._database.errors("Nothing was stored."):
            try:
                yield
            except (
                self._connection.dialect.loaded_dbapi.Error,
                UnicodeEncodeError,
            ) as error:
                raise exc.DBAPIError(None, None, error) from error

    def _begin(self) -> None:
        """Make sure of a transaction that ends when the app ends it, not before."""
        if not self._connection.in_transaction():
            self._connection.begin()
        transaction = self._connection.get_transaction()
        assert transaction is not None
        if isinstance(transaction, TwoPhaseTransaction):
            raise ConfigError(
                "session= is in a two-phase transaction, which another process may "
                "commit: use a session without twophase=True.",
                anchor="session-two-phase",
            )
        if self._connection.dialect.name == "sqlite":
            self._begin_sqlite(transaction)
        elif _is_autocommit(self._driver):
            raise _autocommit()

    def _prepare_file(self) -> None:
        """Take the write lock, and make the tables if they are missing.

        Both on the app's connection, which may hold the lock already. The lock comes
        before any read: after one, SQLite does not wait for it.
        """
        if self._database.opened:
            self._database.check_file()
            self._connection.exec_driver_sql(_WRITE_LOCK)
        else:
            self._lock_what_may_be_there()
            self._database.upgrade_on(self._connection)
            self._database.check_keys_on(self._connection)

    def _lock_what_may_be_there(self) -> None:
        """Take the write lock unless the table for that is missing."""
        try:
            self._connection.exec_driver_sql(_WRITE_LOCK)
        except exc.DBAPIError as error:
            if fault_of(error) is not Fault.STATEMENT:
                raise

    def _begin_sqlite(self, transaction: Transaction) -> None:
        """Begin at once: Python's driver, by default, waits for the first change."""
        by_itself = begins_by_itself(self._driver)
        if not self._driver.in_transaction:
            if not by_itself:
                raise _autocommit()
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not self._connection.in_nested_transaction():
            _begun.add(transaction)
        elif by_itself and transaction not in _begun:
            raise ConfigError(
                "session= is in a savepoint, and Python's SQLite driver may not have "
                "begun a transaction around it, so releasing the savepoint would "
                "commit. See 'Savepoints on SQLite' in Flask-Outbox's documentation, "
                "or send before the savepoint.",
                anchor="session-savepoint",
            )


def _connection(given: Any) -> Connection:
    """The connection behind what the app gave us."""
    from sqlalchemy.orm import Session, scoped_session

    owner = given() if isinstance(given, scoped_session) else given
    if not isinstance(owner, Session | Connection):
        raise _no_session(given)
    try:
        connection = owner.connection() if isinstance(owner, Session) else owner
        _ = connection.connection  # raises if it is closed or lost
    except exc.SQLAlchemyError as error:
        raise OutboxUnavailable(
            f"session= cannot be used: {error}. Nothing was stored.", anchor="session"
        ) from error
    if connection.dialect.is_async:
        raise _no_session(given)
    return connection


def _no_session(given: Any) -> TypeError:
    kind = type(given).__name__
    what = f"session= is {given!r}" if given is None else f"session= is of type {kind}"
    return TypeError(
        f"{what}: pass a synchronous SQLAlchemy Session, such as Flask-SQLAlchemy's "
        "db.session, or a Connection."
    )


def _is_autocommit(driver: Any) -> bool:
    """Whether a server's driver commits each statement."""
    ask: Callable[[], Any] | None = getattr(driver, "get_autocommit", None)
    return bool(ask() if ask else getattr(driver, "autocommit", False))


def _autocommit() -> ConfigError:
    return ConfigError(
        "session= commits each statement separately (AUTOCOMMIT), so there is no "
        "transaction to send in: use another isolation level, or send without "
        "session=.",
        anchor="session-autocommit",
    )
