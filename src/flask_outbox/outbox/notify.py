"""LISTEN and NOTIFY: wakes couriers on PostgreSQL as soon as there is work."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from .database import Database
from .schema import message

MAIL, LANES = "mail", "lanes"
"""The notifications: messages are due; a person paused or resumed a lane."""

_CHANNEL = f"'outbox_' || '{message.name}'::regclass::oid"
"""SQL for the channel's name. It holds the table's OID, so that two outboxes in
different schemas of one database have different channels."""

_NOTIFY = f"SELECT pg_notify({_CHANNEL}, %(word)s)"


def can_notify(database: Database) -> bool:
    """Whether the database can notify couriers; if not, they poll."""
    return database.url.get_backend_name() == "postgresql"


def notify(connection: Connection, word: str) -> None:
    """Notify couriers when the transaction commits; does nothing except on PostgreSQL.

    Not for transactions that commit often and concurrently: PostgreSQL makes them wait
    for one lock, which each holds until its commit is on the disk.
    Source: ``PreCommit_Notify`` in ``src/backend/commands/async.c``.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_NOTIFY, {"word": word})


def notify_of_mail(database: Database) -> None:
    """Make listening couriers look for due messages. Raises `OutboxUnavailable`."""
    database.write_ungrouped(lambda connection: notify(connection, MAIL))


class Notifications:
    """A connection on which a courier receives notifications."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._driver: Any = None
        self._closed = False

    def open(self) -> None:
        """Start listening; earlier notifications are missed.

        Closes the connection again if `close` was called meanwhile. Raises
        `OutboxUnavailable`.
        """
        self._driver = self._database.listening_connection()
        if self._closed:
            self._driver.close()
            return
        with self._database.errors():
            self._driver.autocommit = True
            (channel,) = self._driver.execute(f"SELECT {_CHANNEL}").fetchone()
            self._driver.execute(f"LISTEN {channel}")

    def fileno(self) -> int:
        """The socket, readable after a notification or when the connection is lost."""
        return int(self._driver.fileno())

    def received(self) -> set[str]:
        """The notifications since the last call, without waiting.

        Raises `OutboxUnavailable` once the connection is lost.
        """
        words = set()
        with self._database.errors():
            self._driver.pgconn.consume_input()
            while (notification := self._driver.pgconn.notifies()) is not None:
                words.add(notification.extra.decode())
        return words

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        if self._driver is not None:
            self._driver.close()
