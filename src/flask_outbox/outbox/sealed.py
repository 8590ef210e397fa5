"""Which columns are encrypted, and how rows are written and read where they are.

An outbox with keys gives them to its connections (`KEYS`). Without them, all that is
here passes values on as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Label, Table
from sqlalchemy.engine import Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from ..delivery import IN_INBOX
from ..errors import KeyMissing
from .encryption import Keyring, Place
from .schema import (
    alert,
    attachment,
    batch,
    content,
    event,
    feedback,
    lane,
    message,
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
    columns: tuple[str, ...]


SEALED: Mapping[Table, Sealing] = {
    message: Sealing("id", ("subject", "origin")),
    content: Sealing("message_id", ("body", "template", "envelope", "metadata")),
    attachment: Sealing("digest", ("content",)),
    recipient: Sealing("message_id", ("reply_text", "fate_text")),
    event: Sealing("message_id", ("detail",)),
    feedback: Sealing("id", ("words", "detail")),
    suppression: Sealing("address", ("reason", "evidence")),
    lane: Sealing("name", ("reason", "operator_reason")),
    alert: Sealing("lane", ("reason",)),
    batch: Sealing("id", ("error",)),
    stats: Sealing("lane", ("troubles",)),
    webhook_endpoint: Sealing("name", ("reason",)),
    webhook: Sealing("id", ("body", "error")),
}

OF_A_MESSAGE = frozenset(
    one.c[SEALED[one].owner] for one in (message, content, recipient, event)
)
"""Columns that hold the same in joined rows."""

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
    columns = SEALED[table].columns
    return {
        name: _sealed(keys, value, Place(f"{table.name}.{name}", owner))
        if name in columns
        else value
        for name, value in values.items()
    }


def _sealed(keys: Keyring, value: Any, place: Place) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return value if value in PLAIN else keys.seal(value, place)
    return keys.seal_bytes(value, place)


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


class SealedColumns:
    """Where in the rows of a statement encrypted columns are."""

    def __init__(self, columns: Sequence[Any]) -> None:
        found = [*map(_column, columns)]
        self._places = [
            (index, f"{one.table.name}.{one.name}", _owner_of(one, found))
            for index, one in enumerate(found)
            if one is not None
            and one.table in SEALED
            and one.name in SEALED[one.table].columns
        ]

    def __bool__(self) -> bool:
        return bool(self._places)

    def seal(self, keys: Keyring, row: Sequence[Any]) -> list[Any]:
        """The ``row``, encrypted."""
        sealed = [*row]
        for index, column, owner in self._places:
            sealed[index] = _sealed(keys, row[index], Place(column, row[owner]))
        return sealed

    def open(self, keys: Keyring | None, row: Sequence[Any]) -> Sequence[Any]:
        """The ``row``, decrypted. Raises `KeyMissing` and `Damaged`."""
        if keys is None:
            return row
        opened = [*row]
        for index, column, owner in self._places:
            opened[index] = _opened(keys, row[index], Place(column, row[owner]))
        return opened

    def open_what_can_be(self, keys: Keyring, row: Sequence[Any]) -> Sequence[Any]:
        """Do what `open` does, with something `INSTEAD` of what lacks its key."""
        opened = [*row]
        for index, column, owner in self._places:
            try:
                opened[index] = _opened(keys, row[index], Place(column, row[owner]))
            except KeyMissing as error:
                if column not in INSTEAD:
                    raise
                opened[index] = INSTEAD[column].format(key=error.key_id)
        return opened


_WORDS = "(encrypted with the key {key}, which is missing)"

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
"""What is read of columns whose key is missing, where more depends on the rest of the
row: lists are shown, and nobody who is suppressed is mailed."""


def _opened(keys: Keyring, value: Any, place: Place) -> Any:
    if value is None:
        return None
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


# Reading


def query(
    connection: Connection,
    statement: Any,
    parameters: Any = None,
    *,
    exactly: bool = False,
) -> Result[Any]:
    """The result of a query, decrypted; with something `INSTEAD` of what lacks its key,
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
