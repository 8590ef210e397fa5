"""Joining: a message handed over inside a transaction of the app's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, TwoPhaseTransaction, exc
from sqlalchemy.engine.base import Transaction
from sqlalchemy.orm import Session, scoped_session

from ..errors import ConfigError, OutboxUnavailable
from ..guard import Guard
from .commits import Call, on_commit
from .database import Database
from .enqueue import enqueue, with_key
from .places import check_place
from .records import NewMessage, Receipt

_begun: WeakSet[Transaction] = WeakSet()
"""Transactions of which we know that SQLite began them before any savepoint."""

_WRITE_LOCK = "DELETE FROM outbox_lane WHERE 0"
"""Changes nothing, and takes the lock that a change needs."""


class Joined:
    """The app's session or connection, with the outbox's tables in its reach.

    What is enqueued here exists if and only if that transaction commits. Raises
    `TypeError` for what is no session or connection, `ConfigError` for one whose
    transaction cannot hold a message (another database, two-phase, autocommit), and
    `OutboxUnavailable` for one that cannot be used at this moment.
    """

    def __init__(self, database: Database, given: Any, guard: Guard) -> None:
        self._database = database
        self._guard = guard
        self._connection = _connection(given)
        self._driver: Any = self._connection.connection.dbapi_connection
        with self._errors():
            check_place(database, self._connection)
            self._begin()
            if database.embedded:
                self._prepare_file()

    def enqueue(self, new: NewMessage) -> Receipt:
        """Add ``new`` to the transaction, or find the message with its key."""
        with self._errors():
            try:
                with self._whole():
                    return enqueue(self._connection, [new], None, self._guard)[0]
            except self._connection.dialect.loaded_dbapi.IntegrityError:
                present = self._present(new)
                if present is None:
                    raise
                return present

    def on_commit(self, call: Call) -> None:
        """Call when the transaction commits, with a function that tells its end."""
        on_commit(self._connection, call)

    def _present(self, new: NewMessage) -> Receipt | None:
        """Whoever has just taken the key of ``new``.

        The app's transaction may not see it, where it looks at the database as it was.
        """
        if new.key is None:
            return None
        present = with_key(self._connection, new.key)
        if present is None:
            with self._database.reading() as connection:
                present = with_key(connection, new.key)
        return present

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A savepoint: what goes wrong leaves nothing behind and spoils nothing else.

        Where that cannot be had any more, the first error says why.
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
        """Ours for the database's errors, whichever driver the app has."""
        with self._database.errors("Nothing was stored."):
            try:
                yield
            except (
                self._connection.dialect.loaded_dbapi.Error,
                UnicodeEncodeError,
            ) as error:
                raise exc.DBAPIError(None, None, error) from error

    def _begin(self) -> None:
        """Be in a transaction that ends when the app says so, and not before."""
        if not self._connection.in_transaction():
            self._connection.begin()
        transaction = self._connection.get_transaction()
        assert transaction is not None
        if isinstance(transaction, TwoPhaseTransaction):
            raise ConfigError(
                "session= is in a two-phase transaction, which others may end: use "
                "one without twophase=True."
            )
        if self._connection.dialect.name == "sqlite":
            self._begin_sqlite(transaction)
        elif _commits_by_itself(self._driver):
            raise _autocommit()

    def _prepare_file(self) -> None:
        """Make the tables here where that is not done, for the app may hold the lock.

        Then take the lock before anything is read: SQLite does not wait for it after.
        """
        if self._database.opened:
            self._database.check_file()
        else:
            self._database.upgrade_on(self._connection)
        self._connection.exec_driver_sql(_WRITE_LOCK)

    def _begin_sqlite(self, transaction: Transaction) -> None:
        """Python's driver, unless told not to, begins at the first change only."""
        by_itself = _begins_by_itself(self._driver)
        if not self._driver.in_transaction:
            if not by_itself:
                raise _autocommit()
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not self._connection.in_nested_transaction():
            _begun.add(transaction)
        elif by_itself and transaction not in _begun:
            raise ConfigError(
                "session= is in a savepoint, and Python's SQLite driver may not have "
                "begun a transaction around it, so that the end of the savepoint would "
                "be a commit. Flask-Outbox's documentation has a remedy, under "
                "'Savepoints on SQLite'; or send before the savepoint."
            )


def _begins_by_itself(driver: Any) -> bool:
    chosen = isinstance(getattr(driver, "autocommit", None), bool)  # Python 3.12
    return driver.isolation_level is not None and not chosen


def _connection(given: Any) -> Connection:
    """The connection behind what the app gave us."""
    owner = given() if isinstance(given, scoped_session) else given
    if not isinstance(owner, Session | Connection):
        raise _no_session(given)
    try:
        connection = owner.connection() if isinstance(owner, Session) else owner
        _ = connection.connection  # fails where it is closed or lost
    except exc.SQLAlchemyError as error:
        raise OutboxUnavailable(
            f"session= cannot be used: {error}. Nothing was stored."
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


def _commits_by_itself(driver: Any) -> bool:
    """Whether a server's driver commits each statement."""
    ask: Callable[[], Any] | None = getattr(driver, "get_autocommit", None)
    return bool(ask() if ask else getattr(driver, "autocommit", False))


def _autocommit() -> ConfigError:
    return ConfigError(
        "session= commits each statement by itself (AUTOCOMMIT), so no transaction can "
        "hold the message: use another isolation level, or send without session=."
    )
