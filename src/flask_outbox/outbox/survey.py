"""What kind of database the outbox is in, how large it is, and what its clock says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from .database import Database
from .dialects import SERVER_NOW

Clock = Callable[[], float]

_SIZES = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "mysql": "SELECT sum(data_length + index_length) FROM information_schema.tables "
    "WHERE table_schema = database()",
}
_SIZES["mariadb"] = _SIZES["mysql"]

SYNCED = {
    "postgresql": ("fsync", "on"),
    "mysql": ("innodb_flush_log_at_trx_commit", "1"),
}
"""The server's setting by which a commit is on the disk, whatever a connection says."""
SYNCED["mariadb"] = SYNCED["mysql"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What an outbox's database says of itself."""

    system: str
    """Its name and version: ``postgresql 16.4``."""
    size_bytes: int
    """Of the whole database, other tables in it too."""
    clock_offset_seconds: float
    """How far its clock is ahead of this machine's."""
    pooled: bool
    """Whether a pooler is in front of it, as far as that shows."""
    not_synced: tuple[str, str, str] | None
    """A setting of the server by which a power cut loses commits: its name, what it is
    and what it should be."""


def survey_database(database: Database, clock: Clock) -> Survey:
    """Ask the database; ``clock`` is this machine's.

    Raises `OutboxUnavailable` and `SchemaError`.
    """
    with database.reading() as connection:
        dialect = connection.dialect
        version = ".".join(map(str, dialect.server_version_info or ()))
        driver = connection.connection.driver_connection
        return Survey(
            f"{dialect.name} {version}",
            _size(database, connection),
            _offset(database, connection, clock),
            bool(getattr(driver, "pooled", False)),
            _not_synced(database, connection),
        )


def _size(database: Database, connection: Connection) -> int:
    question = _SIZES.get(database.url.get_backend_name())
    if question is not None:
        return int(connection.scalar(text(question)) or 0)
    file = Path(database.url.database or "")
    files = (file, file.with_name(f"{file.name}-wal"))
    return sum(one.stat().st_size for one in files if one.is_file())


def _not_synced(
    database: Database, connection: Connection
) -> tuple[str, str, str] | None:
    backend = database.url.get_backend_name()
    if backend not in SYNCED:
        return None
    name, wanted = SYNCED[backend]
    question = f"SHOW {name}" if backend == "postgresql" else f"SELECT @@{name}"
    found = str(connection.scalar(text(question)))
    return None if found == wanted else (name, found, wanted)


def _offset(database: Database, connection: Connection, clock: Clock) -> float:
    question = SERVER_NOW.get(database.url.get_backend_name())
    if question is None:
        return 0.0
    asked = clock()
    answer = float(connection.scalar(text(question)) or 0.0)
    return answer - (asked + clock()) / 2
