"""Alembic migrations of the outbox's tables, run on a given connection."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from ...errors import OutboxUnavailable
from ...humanize import duration
from ..schema import version_of

WAIT_SECONDS = 600.0
"""How long to wait for another process that migrates."""

POLL_SECONDS = 0.2
"""How often to look meanwhile. A wait in the database would end at its time limits."""

_alone = threading.Lock()
"""Allows one migration at a time per process: Alembic keeps it in a global."""


def _renew_lock() -> None:
    """Make a new lock in the child: a thread that held it does not exist there."""
    global _alone  # noqa: PLW0603
    _alone = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class UnknownRevision(Exception):
    """The tables are of a version that these migrations do not know."""


def upgrade(connection: Connection, revision: str = "head") -> bool:
    """Bring the tables to ``revision``, in the transaction of ``connection``; whether
    they were not there yet.

    Safe to repeat, and to run from several processes at once. Raises `UnknownRevision`,
    and `OutboxUnavailable` if another process does not come to an end.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    with _exclusively(connection), _alone:
        before = version_of(connection)
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise UnknownRevision(str(error)) from error
        return version_of(connection) != before


@contextmanager
def _exclusively(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating; SQLite's write lock does so by itself.

    A lock that does not end with the commit is released after it, so that the next
    process sees the new version.
    """
    take, give = _LOCKS.get(connection.dialect.name, (None, None))
    if take:
        _wait_for(connection, take)
    try:
        yield
        if give:
            connection.exec_driver_sql("COMMIT")
    finally:
        if give:
            connection.execute(text(give))


def _wait_for(connection: Connection, take: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not connection.scalar(text(take)):
        if time.monotonic() > deadline:
            raise OutboxUnavailable(
                "Another process has been making or upgrading the outbox's tables for "
                f"{duration(WAIT_SECONDS)}: look there, or in the database, for what "
                "it waits for, and run the command again. Nothing was changed here.",
                anchor="upgrading",
            )
        time.sleep(POLL_SECONDS)


_OF_THIS_DATABASE = "concat('flask-outbox ', md5(database()))"
_MYSQL_LOCK = (
    f"SELECT get_lock({_OF_THIS_DATABASE}, 0)",
    f"SELECT release_lock({_OF_THIS_DATABASE})",
)
_LOCKS = {
    "postgresql": ("SELECT pg_try_advisory_xact_lock(hashtext('flask-outbox'))", None),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}
"""Dialect → statement that takes the lock if it is free, and one that releases it if
needed. PostgreSQL's locks are of one database, MySQL's of the whole server."""
