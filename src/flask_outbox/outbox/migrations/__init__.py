"""The outbox's tables through time: Alembic migrations, run on a given engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

_alone = threading.Lock()
"""Alembic keeps the running migration in a global: one at a time in a process."""


def _renew_lock() -> None:
    """Whoever held the lock at a fork does not exist in the child."""
    global _alone  # noqa: PLW0603
    _alone = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class UnknownRevision(Exception):
    """The tables are of a version that these migrations do not know."""


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to ``revision``, in the transaction of ``connection``.

    Safe to run from several processes at once, and again.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    with _alone, _exclusively(connection):
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise UnknownRevision(str(error)) from error


@contextmanager
def _exclusively(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating too; SQLite's write lock does so itself.

    A lock that does not end with the commit is given back after it: who gets it next
    must see the version that was written.
    """
    take, give = _LOCKS.get(connection.dialect.name, (None, None))
    if take:
        connection.execute(text(take))
    try:
        yield
        if give:
            connection.exec_driver_sql("COMMIT")
    finally:
        if give:
            connection.execute(text(give))


_MYSQL_LOCK = (
    "SELECT get_lock('flask-outbox migration', 60)",
    "SELECT release_lock('flask-outbox migration')",
)
_LOCKS = {
    "postgresql": ("SELECT pg_advisory_xact_lock(hashtext('flask-outbox'))", None),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}
"""Dialect → how to take the lock, and how to give it back where a commit does not."""
