"""Which columns are encrypted, and how rows are written and read where they are.

An outbox with keys gives them to its connections (`KEYS`). Without them, all that is
here passes values on as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Label, Table
from sqlalchemy.engine import Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from ..delivery import IN_INBOX
from ..erased_address import PREFIX
from ..errors import Damaged, KeyMissing, MessageError
from .encryption import Keyring, Place
from .schema import (
    SEALED_KEY,
    alert,
    attachment,
    batch,
    content,
    event,
    feedback,
    lane,
    message,
    pardon,
    provider_id,
    recipient,
    stats,
    suppression,
    webhook,
    webhook_endpoint,
)

KEYS = "outbox_keys"
"""The execution option of a connection that holds the outbox's `Keyring`."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """The encrypted columns of a table."""

    owner: str
    """The column with the id for whose row they are encrypted."""
    columns: tuple[str, ...] = ()
    found_by: tuple[str, ...] = ()
    """Those by which rows are found: equal values stay equal."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every encrypted column."""
        return self.columns + self.found_by


SEALED: Mapping[Table, Sealing] = {
    message: Sealing("id", ("subject", "origin"), ("key", "return_path")),
    content: Sealing("message_id", ("body", "template", "envelope", "metadata")),
    attachment: Sealing("digest", ("content",)),
    recipient: Sealing("message_id", ("reply_text", "fate_text"), ("address",)),
    provider_id: Sealing("message_id", found_by=("address",)),
    event: Sealing("message_id", ("detail",)),
    feedback: Sealing("id", ("words", "detail"), ("address",)),
    suppression: Sealing("address", ("reason", "evidence"), ("address",)),
    pardon: Sealing("address", found_by=("address",)),
    lane: Sealing("name", ("reason", "operator_reason")),
    alert: Sealing("lane", ("reason",)),
    batch: Sealing("id", ("error",), ("key",)),
    stats: Sealing("lane", ("troubles",)),
    webhook_endpoint: Sealing("name", ("reason",)),
    webhook: Sealing("id", ("body", "error")),
}

OF_A_MESSAGE = frozenset(
    one.c[SEALED[one].owner]
    for one in (message, content, recipient, event, provider_id)
)
"""Columns that hold the same in joined rows."""

FOUND_BY: frozenset[Column[Any]] = frozenset(
    table.c[name] for table, sealing in SEALED.items() for name in sealing.found_by
)
"""Columns by which rows are found."""

PLAIN = frozenset({IN_INBOX.text})
"""Our own words, which are stored as they are, because they are searched for."""


def keys_of(connection: Connection) -> Keyring | None:
    """The keys of the outbox that ``connection`` is to; None if it is not encrypted."""
    keys: Keyring | None = connection.get_execution_options().get(KEYS)
    return keys


def is_encrypted(connection: Connection, table: Table) -> bool:
    """Whether a condition on texts of ``table`` could miss some: they are encrypted."""
    return table in SEALED and keys_of(connection) is not None


# Writing


def seal(
    connection: Connection, table: Table, owner: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``values`` of some columns, as they are stored in the row of ``owner``."""
    keys = keys_of(connection)
    return {**values} if keys is None else sealed_values(keys, table, owner, values)


def sealed_values(
    keys: Keyring, table: Table, owner: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Do what `seal` does, with ``keys``."""
    columns = SEALED[table].all
    return {
        name: _sealed(keys, value, table.c[name], owner) if name in columns else value
        for name, value in values.items()
    }


def _sealed(keys: Keyring, value: Any, column: Column[Any], owner: str) -> Any:
    if value is None:
        return None
    if column in FOUND_BY:
        return _sealed_equally(keys, value, column)
    place = Place(str(column), owner)
    if isinstance(value, str):
        return value if value in PLAIN else keys.seal(value, place)
    return keys.seal_bytes(value, place)


def _sealed_equally(keys: Keyring, value: str, column: Column[Any]) -> str:
    if _is_digest(value, column):
        return value
    sealed = keys.seal_equally(value, str(column))
    if len(sealed) > SEALED_KEY:
        raise MessageError(
            "key",
            f"{value!r} is too long to be encrypted: use at most {_KEY_BYTES} bytes "
            "in UTF-8.",
        )
    return sealed


_KEY_BYTES = 521
"""The longest key of which the encrypted form fits into `SEALED_KEY` characters."""


def _is_digest(value: str, column: Column[Any]) -> bool:
    """Whether it stands in place of an address, of which it says nothing."""
    return column is suppression.c.address and value.startswith(PREFIX)


def insert_sealed(
    connection: Connection, table: Table, *rows: Mapping[str, Any]
) -> None:
    """Insert ``rows``, if there are any."""
    keys = keys_of(connection)
    if rows:
        connection.execute(table.insert(), [*seal_rows(keys, table, rows)])


def seal_rows(
    keys: Keyring | None, table: Table, rows: Iterable[Mapping[str, Any]]
) -> Iterable[Mapping[str, Any]]:
    """The ``rows`` as they are stored; each names its owner."""
    if keys is None or table not in SEALED:
        return rows
    owner = SEALED[table].owner
    return [sealed_values(keys, table, row[owner], row) for row in rows]


def rows_to_find(
    keys: Keyring, table: Table, names: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The ``rows`` as they are stored, for an update of those with the same ``names``:
    each once for whatever it may be stored as.
    """
    rows = [*rows]
    found = [*seal_rows(keys, table, rows)]
    asked = [] if table not in SEALED else [*{*names} & {*SEALED[table].found_by}]
    if asked and keys.may_be_clear:
        clear = [{name: row[name] for name in asked} for row in rows]
        found += [{**one, **given} for one, given in zip(found, clear, strict=True)]
    return found


class SealedColumns:
    """Where in the rows of a statement encrypted columns are."""

    def __init__(self, columns: Sequence[Any]) -> None:
        found = [*map(_column, columns)]
        places = [
            (index, one, _owner_of(one, found))
            for index, one in enumerate(found)
            if one is not None
            and one.table in SEALED
            and one.name in SEALED[one.table].all
        ]
        # An address may own other columns, so it is opened before them.
        self._places = sorted(places, key=lambda place: place[1] not in FOUND_BY)

    def __bool__(self) -> bool:
        return bool(self._places)

    def seal(self, keys: Keyring, row: Sequence[Any]) -> list[Any]:
        """The ``row``, encrypted."""
        sealed = [*row]
        for index, column, owner in self._places:
            sealed[index] = _sealed(keys, row[index], column, row[owner])
        return sealed

    def open(self, keys: Keyring | None, row: Sequence[Any]) -> Sequence[Any]:
        """The ``row``, decrypted. Raises `KeyMissing` and `Damaged`."""
        if keys is None:
            return row
        opened = [*row]
        for index, column, owner in self._places:
            opened[index] = _opened(keys, row[index], column, opened[owner])
        return opened

    def open_what_can_be(self, keys: Keyring, row: Sequence[Any]) -> Sequence[Any]:
        """Do what `open` does, with something `INSTEAD` of what cannot be decrypted."""
        opened = [*row]
        for index, column, owner in self._places:
            try:
                opened[index] = _opened(keys, row[index], column, opened[owner])
            except (KeyMissing, Damaged) as error:
                if str(column) not in INSTEAD:
                    raise
                opened[index] = INSTEAD[str(column)].format(why=_why(error))
        return opened


def _why(error: KeyMissing | Damaged) -> str:
    if isinstance(error, KeyMissing):
        return f"encrypted with the key {error.key_id}, which is missing"
    return "changed since it was encrypted: restore it from a backup"


_WORDS = "({why})"

INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("outbox_message.subject", "outbox_batch.error"), _WORDS),
    **dict.fromkeys(("outbox_recipient.reply_text", "outbox_webhook.error"), _WORDS),
    **dict.fromkeys(("outbox_recipient.fate_text", "outbox_feedback.words"), _WORDS),
    **dict.fromkeys(("outbox_lane.reason", "outbox_lane.operator_reason"), _WORDS),
    **dict.fromkeys(("outbox_suppression.reason", "outbox_alert.reason"), _WORDS),
    **dict.fromkeys(("outbox_webhook_endpoint.reason",), _WORDS),
    "outbox_message.origin": "null",
    "outbox_suppression.evidence": "null",
    "outbox_feedback.detail": "{{}}",
    "outbox_stats.troubles": "{{}}",
}
"""What is read of columns that cannot be decrypted, where more depends on the rest of
the row: lists are shown, and nobody who is suppressed is mailed."""


def _opened(keys: Keyring, value: Any, column: Column[Any], owner: str) -> Any:
    if value is None:
        return None
    place = Place(str(column), owner)
    if isinstance(value, str):
        return keys.open(value, place)
    return keys.open_bytes(bytes(value), place)


def _column(element: Any) -> Column[Any] | None:
    """The column of a table behind what a query selects, if it is one."""
    if isinstance(element, Label):
        element = element.element
    if not isinstance(element, Column):
        return None
    table: Any = element.table
    return element if isinstance(table, Table) else None


def _owner_of(column: Column[Any], selected: Sequence[Column[Any] | None]) -> int:
    """Which of the ``selected`` columns has the id that ``column`` is encrypted for."""
    owner = column.table.c[SEALED[column.table].owner]
    same = OF_A_MESSAGE if owner in OF_A_MESSAGE else {owner}
    return next(index for index, one in enumerate(selected) if one in same)


# Finding


def forms(connection: Connection, column: Column[Any], value: str) -> list[str]:
    """What ``value`` may be stored as in a column by which rows are found: as it is, if
    the outbox has no keys.
    """
    keys = keys_of(connection)
    if keys is None or _is_digest(value, column):
        return [value]
    return keys.forms(value, str(column))


def all_forms(
    connection: Connection, column: Column[Any], values: Iterable[str]
) -> list[str]:
    """Do what `forms` does, for some values."""
    return [form for one in values for form in forms(connection, column, one)]


def same(
    connection: Connection, column: Column[Any], value: str
) -> ColumnElement[bool]:
    """The condition that a column by which rows are found has ``value``."""
    stored = forms(connection, column, value)
    return column == stored[0] if len(stored) == 1 else column.in_(stored)


# Reading


def query(
    connection: Connection,
    statement: Any,
    parameters: Any = None,
    *,
    exactly: bool = False,
) -> Result[Any]:
    """The result of a query, decrypted; with something `INSTEAD` of what cannot be,
    unless it is needed ``exactly``.

    Raises `KeyMissing` and `Damaged`.
    """
    result: Result[Any] = connection.execute(statement, parameters)
    keys = keys_of(connection)
    if keys is None:
        return result
    columns = [*statement.selected_columns]
    sealed = SealedColumns(columns)
    read = sealed.open if exactly else sealed.open_what_can_be
    rows = [tuple(read(keys, row)) for row in result]
    names = SimpleResultMetaData([*result.keys()], [(one,) for one in columns])
    return IteratorResult(names, iter(rows))
