"""The outbox's tables through time: Alembic migrations, run on a given engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text

_ALONE = threading.Lock()
"""Alembic keeps the running migration in a global: one at a time in a process."""


class UnknownRevision(Exception):
    """The tables are of a version that these migrations do not know."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables behind ``engine`` to ``revision``, in one transaction.

    Safe to run from several processes at once, and again.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with _ALONE, engine.begin() as connection, _exclusively(connection):
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise UnknownRevision(str(error)) from error


@contextmanager
def _exclusively(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating too; SQLite's write lock does so itself."""
    take, give = _LOCKS.get(connection.dialect.name, (None, None))
    if take:
        connection.execute(text(take))
    try:
        yield
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
