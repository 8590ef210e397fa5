"""Versions: what state the outbox's tables are in, whoever made them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import Inspector

from .schema import REVISION, VERSION_TABLE, metadata

OUTDATED = "of the app's own migrations"
"""The version of tables that the app's migrations made (see `add_tables`), and that are
not those of this Flask-Outbox."""


def version_of(connection: Connection) -> str | None:
    """The version of the tables, or None where there are none.

    It only reads: the app may hold the write lock at this moment.
    """
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return _by_their_shape(inspect(connection))
    found: Any = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return found and str(found)


def _by_their_shape(present: Inspector) -> str | None:
    """The version of tables that the app's own migrations made."""
    names = metadata.tables.keys() & set(present.get_table_names())
    if not names:
        return None
    whole = len(names) == len(metadata.tables) and all(
        set(metadata.tables[name].columns.keys())
        <= {column["name"] for column in present.get_columns(name)}
        for name in names
    )
    return REVISION if whole else OUTDATED
