"""Places: whether the app's connection leads to the outbox's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from ..errors import ConfigError
from .database import Database
from .dialects import shown_url

_FOUND = "flask_outbox"
"""Under this, what was found out about a driver's connection stays with it."""

_FAMILIES = {"mariadb": "mysql"}

_IDENTITY = {
    "postgresql": "SELECT current_database(), pg_postmaster_start_time(), "
    "CAST(to_regclass('outbox_message') AS oid)",
    "mysql": "SELECT database(), @@hostname, @@port, @@datadir",
}
"""What no two databases have in common, however their URLs are written."""


def check_place(database: Database, connection: Connection) -> None:
    """Raise `ConfigError` unless ``connection`` is on the outbox's own database.

    A driver's connection is asked once.
    """
    place = database.url.render_as_string()
    if connection.info.get(_FOUND) == place:
        return
    if not _leads_to(database, connection):
        raise _elsewhere(database, connection)
    connection.info[_FOUND] = place


def same_place(one: Database, other: Database) -> bool:
    """Whether two URLs lead to the same tables."""
    with other.reading() as connection:
        return _leads_to(one, connection)


def _leads_to(database: Database, connection: Connection) -> bool:
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


def _elsewhere(database: Database, connection: Connection) -> ConfigError:
    return ConfigError(
        f"session= is on {shown_url(connection.engine.url)}, and not on the outbox's "
        f"own tables, which are kept in {database.shown}: two databases cannot commit "
        "as one. Set OUTBOX_URL to the app's database; or, of a session with several, "
        "pass session.connection(bind_arguments={'bind': engine}) with the engine of "
        "the outbox's; or send without session= after the commit."
    )
