"""The doorbell: couriers on PostgreSQL hear at once that there is something to do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from .database import Database
from .schema import message

MAIL, LANES = "mail", "lanes"
"""What there may be: messages that are due; lanes that a person paused or resumed."""

_CHANNEL = f"'outbox_' || '{message.name}'::regclass::oid"
"""Named after the very table, so that two outboxes in one database do not ring each
other, whatever schemas they are in."""

_RING = f"SELECT pg_notify({_CHANNEL}, %(word)s)"


def has_doorbell(database: Database) -> bool:
    """Whether couriers can be rung for; elsewhere they look by themselves."""
    return database.url.get_backend_name() == "postgresql"


def ring(connection: Connection, word: str) -> None:
    """Ring when the transaction commits; nothing where there is no doorbell.

    Not for transactions of which many commit at a time: PostgreSQL has them queue for
    one lock, which each holds until its commit is on the disk.
    Source: ``PreCommit_Notify`` in ``src/backend/commands/async.c``.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_RING, {"word": word})


def ring_for_mail(database: Database) -> None:
    """Have couriers that listen look for due messages.

    Raises `OutboxUnavailable`.
    """
    database.write_apart(lambda connection: ring(connection, MAIL))


class Line:
    """A connection on which a courier hears the doorbell."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._driver: Any = None
        self._closed = False

    def open(self) -> None:
        """Begin to listen; what rang before is not heard.

        Raises `OutboxUnavailable`. It is closed even where `close` came meanwhile.
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
        """What becomes readable when it rings, or is lost."""
        return int(self._driver.fileno())

    def heard(self) -> set[str]:
        """The words that were rung since, without waiting.

        Raises `OutboxUnavailable` once the connection is lost.
        """
        words = set()
        with self._database.errors():
            self._driver.pgconn.consume_input()
            while (rung := self._driver.pgconn.notifies()) is not None:
                words.add(rung.extra.decode())
        return words

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        if self._driver is not None:
            self._driver.close()
