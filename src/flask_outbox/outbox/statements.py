"""SQLAlchemy statements that are compiled once and run on the driver's own cursor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    Select,
    Table,
)
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from .dialects import MULTI_STATEMENTS, begin_immediate
from .encryption import Keyring
from .sealed import SealedColumns, keys_of, rows_to_find, seal_rows

Row = Mapping[str, Any]


class Statement(NamedTuple):
    """A statement for the driver: its text, the values in it, whether it has rows."""

    text: str
    values: Sequence[Any]
    asks: bool = False


JOINED_CHARACTERS = 1_000_000
"""MariaDB and MySQL are not sent more at once: they limit what they read."""

JOINED_STATEMENTS = 8
"""PostgreSQL is not sent more as one: it limits the values in a statement."""


def run_together(
    connection: Connection, statements: Sequence[Statement]
) -> list[list[tuple[Any, ...]]]:
    """Run ``statements`` in their order, in one round trip where the driver can.

    Returns the rows of each that asks. The first error ends it.
    """
    if not statements:
        return []
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.driver == "psycopg":
        return _run_pipelined(driver, statements)
    answers = zip(_run_in_order(driver, statements), statements, strict=True)
    return [answer for answer, one in answers if one.asks]


def _run_in_order(driver: Any, statements: Sequence[Statement]) -> list[Any]:
    """What each answers: its rows if it asks, else how many rows it changed."""
    cursor = driver.cursor()
    answers = []
    if _takes_several(driver):
        for some in _joinable(cursor, statements):
            answers += _run_joined(cursor, some)
        return answers
    for one in statements:
        cursor.execute(one.text, one.values)
        answers.append(_answer(cursor, one))
    return answers


def _answer(cursor: Any, statement: Statement) -> Any:
    return list(cursor.fetchall()) if statement.asks else cursor.rowcount


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Within this, statements do not wait for each other's end, where the driver can.

    Rows are read after it. Their first error ends it.
    """
    if connection.dialect.driver == "psycopg":
        driver: Any = connection.connection.dbapi_connection
        with driver.pipeline():
            yield
    else:
        yield


def _run_pipelined(
    driver: Any, statements: Sequence[Statement]
) -> list[list[tuple[Any, ...]]]:
    """Run ``statements`` in psycopg's pipeline mode, which waits for BEGIN alone."""
    asking = [one for one in statements if one.asks]
    if len(asking) <= 1 and 1 < len(statements) <= JOINED_STATEMENTS:
        statements = [_as_one(statements, *asking)]
    with driver.pipeline():
        cursors = [driver.execute(one.text, one.values) for one in statements]
    answers = zip(cursors, statements, strict=True)
    return [cursor.fetchall() for cursor, one in answers if one.asks]


def _as_one(
    statements: Sequence[Statement], last: Statement | None = None
) -> Statement:
    """``statements`` as parts of the last, which PostgreSQL runs as one.

    Foreign keys are checked at its end. The order has no meaning within it.
    """
    last = last or statements[-1]
    others = [one for one in statements if one is not last]
    parts = [f"_{number} AS ({one.text})" for number, one in enumerate(others)]
    values = [value for one in (*others, last) for value in one.values]
    return Statement(f"WITH {', '.join(parts)} {last.text}", values, last.asks)


def can_run_and_commit(connection: Connection) -> bool:
    """Whether `run_and_commit` can be used: a pooler sets the outbox's settings at the
    beginning of each transaction, which it leaves out.
    """
    if connection.dialect.driver != "psycopg":
        return True
    driver: Any = connection.connection.dbapi_connection
    return not driver.pooled


def run_and_commit(
    connection: Connection, asking: Statement, inserts: Sequence[Statement]
) -> bool:
    """Run and commit ``inserts`` if ``asking`` finds nothing; return whether it did.

    The transaction is the driver's own. A server is sent it in one round trip, where
    the driver can: each insert must have been made with ``unless_found``.
    """
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return _commit_embedded(driver, asking, inserts)
    if connection.dialect.driver == "psycopg":
        return not _found_as_one(driver, asking, inserts)
    return not _found_in_order(driver, asking, inserts)


def _commit_embedded(
    driver: Any, asking: Statement, inserts: Sequence[Statement]
) -> bool:
    cursor = driver.cursor()
    try:
        begin_immediate(driver)
        if cursor.execute(asking.text, asking.values).fetchall():
            return False
        for one in inserts:
            cursor.execute(one.text, one.values)
        driver.commit()
    finally:
        driver.rollback()  # does nothing after a commit
    return True


def _found_as_one(driver: Any, asking: Statement, inserts: Sequence[Statement]) -> bool:
    """Run all as one statement, which PostgreSQL commits by itself."""
    text = _text_as_one(asking.text, tuple([one.text for one in inserts]))
    values = [value for one in (asking, *inserts) for value in one.values]
    driver.autocommit = True
    try:
        return bool(driver.execute(text, values).fetchone()[0])
    finally:
        if not driver.pgconn.transaction_status:  # it is idle, so not lost
            driver.autocommit = False


@lru_cache
def _text_as_one(asking: str, inserts: tuple[str, ...]) -> str:
    parts = [f"_found AS ({asking})"]
    parts += [f"_{number} AS ({one})" for number, one in enumerate(inserts)]
    return f"WITH {', '.join(parts)} SELECT {_ANY_FOUND}"


_ANY_FOUND = "EXISTS (SELECT FROM _found)"


def _found_in_order(
    driver: Any, asking: Statement, inserts: Sequence[Statement]
) -> bool:
    """Run one after the other; MariaDB and MySQL keep in a variable what was found."""
    _, inserted, *_ = _run_in_order(
        driver,
        [
            Statement(f"SET {_VARIABLE} = EXISTS ({asking.text})", asking.values),
            *inserts,
            Statement("COMMIT", ()),
        ],
    )
    return not inserted


_VARIABLE = "@outbox_found"


def _takes_several(driver: Any) -> bool:
    """Whether ``driver`` is a connection of PyMySQL that takes several at once."""
    return bool(getattr(driver, "client_flag", 0) & MULTI_STATEMENTS)


def _joinable(
    cursor: Any, statements: Sequence[Statement]
) -> Iterator[list[tuple[Statement, str]]]:
    """The statements with the text of each, as many at a time as are sent at once."""
    some: list[tuple[Statement, str]] = []
    characters = 0
    for one in statements:
        text = cursor.mogrify(one.text, one.values)
        characters += len(text)
        if some and characters > JOINED_CHARACTERS:
            yield some
            some, characters = [], len(text)
        some.append((one, text))
    yield some


def _run_joined(cursor: Any, statements: Sequence[tuple[Statement, str]]) -> list[Any]:
    answers = []
    cursor.execute(";".join(text for _, text in statements))
    for one, _ in statements:
        answers.append(_answer(cursor, one))
        cursor.nextset()
    return answers


class PreparedStatement:
    """A statement that is executed for every message, and so must be cheap.

    SQLAlchemy's execution costs several times what SQLite needs for such a row. Running
    the compiled text on the driver's cursor avoids that.

    ``adds_to`` is the table whose rows it is run with, if these hold encrypted columns.
    """

    def __init__(
        self,
        statement: UpdateBase | Select[Any] | CompoundSelect[Any],
        columns: Iterable[str] = (),
        adds_to: Table | None = None,
    ) -> None:
        self._statement = statement
        self._adds_to = adds_to
        self._columns = tuple(columns) or None
        self._compiled: dict[tuple[str, str], tuple[str, Sequence[str]]] = {}

    def run(self, connection: Connection, row: Row) -> int:
        """Execute the statement; return how many rows it changed."""
        return int(self._execute(connection, row).rowcount)

    def rows(self, connection: Connection, row: Row) -> list[tuple[Any, ...]]:
        """Execute the statement; return its result."""
        return list(self._execute(connection, row).fetchall())

    def asking(self, dialect: Dialect, values: Sequence[Any]) -> Statement:
        """The query with ``values`` in its order, for `run_together`."""
        return Statement(self._text(dialect)[0], values, asks=True)

    def statements(
        self, connection: Connection, rows: Sequence[Row]
    ) -> list[Statement]:
        """The statement for each of ``rows``, for `run_together`."""
        text, order = self._text(connection.dialect)
        sealed = self._sealed(connection, rows)
        return [Statement(text, [row[name] for name in order]) for row in sealed]

    def _execute(self, connection: Connection, row: Row) -> Any:
        text, order = self._text(connection.dialect)
        cursor: Any = connection.connection.cursor()
        (row,) = self._sealed(connection, [row])
        cursor.execute(text, [row[name] for name in order])
        return cursor

    def _sealed(self, connection: Connection, rows: Sequence[Row]) -> Iterable[Row]:
        if self._adds_to is None:
            return rows
        return seal_rows(keys_of(connection), self._adds_to, rows)

    def run_many(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute the statement for each of ``rows``."""
        if rows:
            text, order = self._text(connection.dialect)
            cursor: Any = connection.connection.cursor()
            rows_sealed = self._sealed(connection, rows)
            cursor.executemany(
                text, [[row[name] for name in order] for row in rows_sealed]
            )

    def _text(self, dialect: Dialect) -> tuple[str, Sequence[str]]:
        """The text, whose values have places but no names, and the order of these."""
        name = (dialect.name, dialect.driver)
        if name not in self._compiled:
            compiled: Any = self._statement.compile(
                dialect=dialect, column_keys=self._columns
            )
            text = str(compiled)
            order = (
                compiled.positiontup if compiled.positional else _NAMED.findall(text)
            )
            self._compiled[name] = (_NAMED.sub("%s", text), order)
        return self._compiled[name]


_NAMED = re.compile(r"%\((\w+)\)s")


class PreparedInsert(PreparedStatement):
    """An insert into ``table`` that PostgreSQL, too, runs once for many rows.

    They get their ids in the order of the rows. None of the ``columns`` may be binary.
    """

    def __init__(self, table: Table, *columns: str) -> None:
        super().__init__(table.insert(), columns, adds_to=table)
        names = ", ".join(columns)
        self._from_json = (
            f"INSERT INTO {table.name} ({names}) SELECT {names} "  # noqa: S608
            f"FROM ROWS FROM ({_json_rows(table, columns)}) "
            f"WITH ORDINALITY AS new ({names}, place) ORDER BY place"
        )

    def run_many(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert ``rows``."""
        if rows and connection.dialect.name == "postgresql":
            cursor: Any = connection.connection.cursor()
            rows_sealed = [*self._sealed(connection, rows)]
            cursor.execute(self._from_json, {"rows": _as_json(rows_sealed)})
        else:
            super().run_many(connection, rows)


class RowsInsert:
    """An insert of rows, each a tuple with the values of ``columns``.

    With ``skip_present``, a row whose key or other unique columns another row has is
    left out.
    """

    def __init__(self, table: Table, *columns: str, skip_present: bool = False) -> None:
        self._table = table
        self._columns = columns
        self._skip_present = skip_present
        self._sealed = SealedColumns([table.c[name] for name in columns])
        self._texts: dict[tuple[str, int, bool], str] = {}

    def statements(
        self,
        connection: Connection,
        rows: Sequence[Sequence[Any]],
        *,
        unless_found: bool = False,
    ) -> list[Statement]:
        """The statements that insert ``rows``, for `run_together`.

        Those for `run_and_commit` insert only ``unless_found`` is what it asks for.
        """
        statements = []
        dialect = connection.dialect
        if (keys := keys_of(connection)) is not None:
            rows = [self._sealed.seal(keys, row) for row in rows]
        unless_found = unless_found and dialect.name != "sqlite"
        for start in range(0, len(rows), INSERTED_AT_ONCE):
            some = rows[start : start + INSERTED_AT_ONCE]
            values = some[0] if len(some) == 1 else [*chain.from_iterable(some)]
            key = (dialect.name, len(some), unless_found)
            text = self._texts.get(key)
            if text is None:
                text = self._texts[key] = self._text(dialect, len(some), unless_found)
            statements.append(Statement(text, values))
        return statements

    def _text(self, dialect: Dialect, count: int, unless_found: bool) -> str:
        place = "?" if dialect.paramstyle == "qmark" else "%s"
        quote = dialect.identifier_preparer.quote
        columns = ", ".join(map(quote, self._columns))
        if unless_found:
            rows = self._rows_unless_found(dialect, count)
        else:
            row = f"({', '.join([place] * len(self._columns))})"
            rows = f"VALUES {', '.join([row] * count)}"
        skip = self._skip(dialect) if self._skip_present else ""
        return f"INSERT INTO {self._table.name} ({columns}) {rows}{skip}"

    def _rows_unless_found(self, dialect: Dialect, count: int) -> str:
        """The rows as a query, for which PostgreSQL has to be told their types."""
        if dialect.name == "postgresql":
            types = [_type(self._table.c[name].type) for name in self._columns]
            first = f"({', '.join(f'%s::{one}' for one in types)})"
            other = f"({', '.join(['%s'] * len(types))})"
            rows = ", ".join([first, *[other] * (count - 1)])
            new = f"(VALUES {rows}) AS new"
            return f"SELECT * FROM {new} WHERE NOT {_ANY_FOUND}"  # noqa: S608
        places = ", ".join(["%s"] * len(self._columns))
        row = f"SELECT {places} FROM DUAL WHERE NOT {_VARIABLE}"  # noqa: S608
        return " UNION ALL ".join([row] * count)

    def _skip(self, dialect: Dialect) -> str:
        if dialect.name in ("mysql", "mariadb"):  # IGNORE would also cut long values
            column = dialect.identifier_preparer.quote(self._columns[0])
            return f" ON DUPLICATE KEY UPDATE {column} = {column}"
        return " ON CONFLICT DO NOTHING"


INSERTED_AT_ONCE = 32
"""The most rows that one statement inserts: older SQLite takes 999 values at most."""


class RowsQuery:
    """A query for the rows with given ids, its expanding parameter ``ids``."""

    def __init__(self, query: Select[Any]) -> None:
        self._query = query
        self._sealed = SealedColumns([*query.selected_columns])
        self._texts: dict[str, str] = {}

    def run(
        self, connection: Connection, ids: Sequence[str]
    ) -> Iterable[Sequence[Any]]:
        """Return the driver's rows, which are read as they are needed; for no ids none,
        without asking.
        """
        rows = self.run_sealed(connection, ids)
        if not self._sealed or (keys := keys_of(connection)) is None:
            return rows
        return (self._sealed.open_what_can_be(keys, row) for row in rows)

    def open(self, keys: Keyring | None, row: Sequence[Any]) -> Sequence[Any]:
        """Decrypt one row of `run_sealed`."""
        return self._sealed.open(keys, row)

    def run_sealed(
        self, connection: Connection, ids: Sequence[str]
    ) -> Iterable[Sequence[Any]]:
        """Do what `run` does, but leave the rows encrypted."""
        if not ids:
            return ()
        cursor: Any = connection.connection.cursor()
        cursor.execute(*self._asked(connection.dialect, ids))
        rows: Iterable[Sequence[Any]] = cursor
        return rows

    def _asked(self, dialect: Dialect, ids: Sequence[str]) -> tuple[str, Any]:
        """The query and its parameters."""
        if dialect.name == "sqlite":
            return self._text(dialect, _IN_JSON), [json.dumps(ids)]
        if dialect.name == "postgresql":
            return self._text(dialect, _IN_ARRAY), {"ids": list(ids)}
        text = self._text(dialect, _IN_IDS)
        places = ", ".join(["%s"] * len(ids))
        return text.replace(_IN_IDS, f"IN ({places})"), list(ids)

    def _text(self, dialect: Dialect, in_ids: str) -> str:
        if dialect.name not in self._texts:
            compiled = str(self._query.compile(dialect=dialect))
            self._texts[dialect.name] = compiled.replace(_IN_IDS, in_ids)
        return self._texts[dialect.name]


_IN_IDS = "IN (__[POSTCOMPILE_ids])"
_IN_JSON = "IN (SELECT value FROM json_each(?))"
_IN_ARRAY = "= ANY(%(ids)s::text[])"


ROWS_AT_ONCE = 500
"""The most rows that one statement updates: a message may have many recipients, and a
server limits the length of a statement."""


class RowsUpdate:
    """An update of many rows, each with values of its own, as one statement.

    ``keys`` are the columns of the primary key, and ``values`` those that are set; none
    is binary. On SQLite, where a statement costs no round trip, it is executed for each
    row.
    """

    def __init__(
        self, table: Table, keys: Sequence[str], values: Sequence[str]
    ) -> None:
        self._table = table
        self._keys = keys
        self._values = values
        self._columns = (*values, *keys)
        self._in_order = itemgetter(*self._columns)
        self._texts: dict[str, str] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Update ``rows``, which map the names of columns to values."""
        if (keys := keys_of(connection)) is not None:
            rows = rows_to_find(keys, self._table, self._keys, rows)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self._run_some(connection, rows[start : start + ROWS_AT_ONCE])

    def _run_some(self, connection: Connection, rows: Sequence[Row]) -> None:
        dialect = connection.dialect
        cursor: Any = connection.connection.cursor()
        if dialect.name == "sqlite":
            cursor.executemany(self._text(dialect), map(self._in_order, rows))
        elif dialect.name == "postgresql":
            cursor.execute(self._text(dialect), {"rows": _as_json(rows)})
        else:
            values = [*chain.from_iterable(map(self._in_order, rows))]
            cursor.execute(self._joined(len(rows)), values)

    def _text(self, dialect: Dialect) -> str:
        if dialect.name not in self._texts:
            make = self._single if dialect.name == "sqlite" else self._from_json
            self._texts[dialect.name] = make(dialect)
        return self._texts[dialect.name]

    def _single(self, _: Dialect) -> str:
        values = ", ".join(f"{name} = ?" for name in self._values)
        keys = " AND ".join(f"{name} = ?" for name in self._keys)
        return f"UPDATE {self._table.name} SET {values} WHERE {keys}"  # noqa: S608

    def _from_json(self, dialect: Dialect) -> str:
        """PostgreSQL's form: its one parameter is all rows."""
        values = ", ".join(f"{name} = new.{name}" for name in self._values)
        keys = " AND ".join(
            f"old.{name} = new.{name}{_collate(self._table.c[name].type, dialect)}"
            for name in self._keys
        )
        rows = _json_rows(self._table, self._columns)
        new = f"ROWS FROM ({rows}) AS new ({', '.join(self._columns)})"
        name = self._table.name
        return f"UPDATE {name} AS old SET {values} FROM {new} WHERE {keys}"  # noqa: S608

    def _joined(self, count: int) -> str:
        """MariaDB's and MySQL's form: the rows are joined as a union of selects.

        Each finds its row by the primary key: a table that is thought to be small would
        else be read, and locked, as a whole.
        """
        first = ", ".join(f"%s AS {name}" for name in self._columns)
        other = ", ".join("%s" for _ in self._columns)
        rows = " UNION ALL SELECT ".join([first, *[other] * (count - 1)])
        keys = " AND ".join(f"old.{name} = new.{name}" for name in self._keys)
        values = ", ".join(f"old.{name} = new.{name}" for name in self._values)
        old = f"{self._table.name} AS old FORCE INDEX (PRIMARY)"
        new = f"(SELECT {rows}) AS new"
        return f"UPDATE {new} STRAIGHT_JOIN {old} ON {keys} SET {values}"  # noqa: S608


def _json_rows(table: Table, columns: Sequence[str]) -> str:
    """PostgreSQL's reading of rows from the parameter ``rows``.

    Arrays would take psycopg, in Python, several times as long.
    """
    types = ", ".join(f"{name} {_type(table.c[name].type)}" for name in columns)
    return f"json_to_recordset(%(rows)s::json) AS ({types})"


_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _type(type_: TypeEngine[Any]) -> str:
    """PostgreSQL's type for values of a column's type."""
    if isinstance(type_, Integer):
        return "integer"
    if isinstance(type_, Double):
        return "double precision"
    return "bytea" if isinstance(type_, LargeBinary) else "text"


def _collate(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """The column's collation, if it is not the database's: both sides need the same."""
    collation = getattr(type_.dialect_impl(dialect), "collation", None)
    return f' COLLATE "{collation}"' if collation else ""
