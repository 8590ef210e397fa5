"""Hot statements: built by SQLAlchemy, compiled once, run on the driver's cursor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.sql.dml import UpdateBase

Row = Mapping[str, Any]


class Hot:
    """A statement for the paths that every message takes.

    SQLAlchemy's execution costs several times what SQLite needs for such a row; its
    compiled text on the driver's cursor does not.
    """

    def __init__(
        self, statement: UpdateBase | Select[Any], columns: Iterable[str] = ()
    ) -> None:
        self._statement = statement
        self._columns = tuple(columns) or None
        self._compiled: dict[tuple[str, str], tuple[str, Sequence[str] | None]] = {}

    def run(self, connection: Connection, row: Row) -> int:
        """Execute it once; how many rows it changed."""
        return int(self._execute(connection, row).rowcount)

    def rows(self, connection: Connection, row: Row) -> list[tuple[Any, ...]]:
        """Execute it once; what it answers."""
        return list(self._execute(connection, row).fetchall())

    def _execute(self, connection: Connection, row: Row) -> Any:
        text, order = self._text(connection)
        cursor: Any = connection.connection.cursor()
        cursor.execute(text, row if order is None else [row[name] for name in order])
        return cursor

    def run_many(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it for each of ``rows``."""
        if rows:
            text, order = self._text(connection)
            cursor: Any = connection.connection.cursor()
            cursor.executemany(
                text,
                rows
                if order is None
                else [[row[name] for name in order] for row in rows],
            )

    def _text(self, connection: Connection) -> tuple[str, Sequence[str] | None]:
        name = (connection.dialect.name, connection.dialect.driver)
        if name not in self._compiled:
            compiled: Any = self._statement.compile(
                dialect=connection.dialect, column_keys=self._columns
            )
            order = compiled.positiontup if compiled.positional else None
            self._compiled[name] = (str(compiled), order)
        return self._compiled[name]
