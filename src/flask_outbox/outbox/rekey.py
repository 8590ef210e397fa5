"""Rekeying: encrypts what is in the clear or under an old key with the first key.

It goes through the tables in chunks, each in one transaction, while couriers work. It
keeps nothing: a run that broke off is continued by another, which passes over what is
done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from ..errors import ConfigError, MessageError, StoreError
from . import attachments, audit, key_register
from .database import Database
from .encryption import LOOKUP_MARK, Keyring
from .records import Act, Actor, EncryptionStatus
from .schema import (
    BYTES,
    ONE,
    attached,
    attachment,
    batch,
    message,
    recipient,
    suppression,
)
from .sealed import FOUND_BY, PLAIN, SEALED, SealedColumns, sealed_values
from .suppressions import DIGESTS

CHUNK_ROWS = 100
"""The most rows that one transaction encrypts, so that others wait only briefly."""

CHUNK_ATTACHMENTS = 4
"""These are large."""

UNIQUE = frozenset({message.c.key, batch.c.key})
"""Where a row loses its value if another has it: a process without keys, which cannot
read that, has stored it once more."""

Values = Mapping[str, Any]
OnProgress = Callable[[int], object]


@dataclass(slots=True)
class Rekeyed:
    """What a run came to."""

    key: str
    """The key that all is encrypted with, but for what failed."""
    rows: int = 0
    """How many rows were encrypted anew."""
    failed: list[str] = field(default_factory=list)
    """Why others could not be: their key is missing, or they are damaged."""


class Rekeying:
    """One run over the outbox in ``database``.

    If it changes anything, the audit trail has it as an act of ``actor``, with how many
    rows were encrypted.
    """

    def __init__(self, database: Database, actor: Actor | None = None) -> None:
        if database.keys is None:
            raise ConfigError(
                "OUTBOX_ENCRYPTION_KEYS is not set: 'flask outbox new-key' makes a key."
            )
        self._database = database
        self._keys = database.keys
        self._result = Rekeyed(database.keys.first)
        self._line = audit.draft(actor, Act.REKEY, database.now(), self._keys.first)

    def count(self) -> int:
        """How many rows are to be encrypted."""
        with self._database.reading() as connection:
            return rows_left(connection, self._keys)

    def run(self, on_progress: OnProgress = lambda rows: None) -> Rekeyed:
        """Encrypt all, and call ``on_progress`` with the size of each step.

        What cannot be decrypted stays as it is, and so do the keys in the register.
        """
        for table in SEALED:
            for rows in self._steps(table):
                on_progress(rows)
        if not self._result.failed:
            self._database.write_ungrouped(self._forget_others)
        return self._result

    def _forget_others(self, connection: Connection) -> None:
        if key_register.forget_others(connection, self._keys):
            self._line.write(connection, 0)

    def _steps(self, table: Table) -> Iterator[int]:
        chunk = CHUNK_ATTACHMENTS if table is attachment else CHUNK_ROWS
        after: list[Any] | None = None
        while True:
            step = self._database.write_ungrouped(
                lambda connection: self._step(
                    connection,
                    table,
                    after,  # noqa: B023 - it runs at once
                    chunk,
                )
            )
            self._result.rows += step.rows
            self._result.failed += step.failed
            if step.last is None:
                return
            after = step.last
            yield step.rows

    def _step(
        self, connection: Connection, table: Table, after: list[Any] | None, limit: int
    ) -> _Step:
        step = _Step(connection, self._keys, table).run(after, limit)
        if step.rows:
            self._line.write(connection, 0)
            self._line.count(connection, step.rows)
        return step


class _Step:
    """One transaction's work on one table."""

    def __init__(self, connection: Connection, keys: Keyring, table: Table) -> None:
        self._connection = connection
        self._keys = keys
        self._table = table
        self._key_columns = [*table.primary_key.columns]
        self._sealing = SEALED[table]
        self.rows = 0
        self.failed: list[str] = []
        self.last: list[Any] | None = None
        """The primary key of the last row; None if there was none."""

    def run(self, after: list[Any] | None, limit: int) -> _Step:
        """Encrypt the next rows after the primary key ``after``."""
        owner = self._table.c[self._sealing.owner]
        columns = {*self._key_columns, owner, *self._columns()}
        wanted = [one for one in self._table.columns if one in columns]
        next_rows = (
            select(*wanted)
            .where(_old(self._keys, self._table), *_beyond(self._key_columns, after))
            .order_by(*self._key_columns)
            .limit(limit)
        )
        if self._table is recipient:
            next_rows = next_rows.where(self._lock_messages(next_rows))
        found = self._connection.execute(next_rows.with_for_update()).all()
        opening = SealedColumns(wanted)
        for row in found:
            self.last = [row._mapping[one.name] for one in self._key_columns]
            names = [one.name for one in wanted]
            try:
                opened = opening.open(self._keys, row)
                self._write(dict(zip(names, opened, strict=True)), self.last)
            except StoreError as error:
                self.failed.append(str(error))
            except MessageError as error:
                self.failed.append(f"{self._table.name} {self.last[0]}: {error}")
            else:
                self.rows += 1
        return self

    def _lock_messages(self, next_rows: Select[Any]) -> ColumnElement[bool]:
        """Lock the messages of the ``next_rows``, as everyone does who updates their
        recipients; the condition that a recipient is of one of them.

        PostgreSQL would let an update that waits for a row pass over it, once its
        address is another than when the update began.
        """
        rows = self._connection.execute(next_rows).all()
        if rows:
            self.last = [rows[-1]._mapping[one.name] for one in self._key_columns]
        ids = sorted({row.message_id for row in rows})
        self._connection.execute(
            select(message.c.id)
            .where(message.c.id.in_(ids))
            .order_by(message.c.id)
            .with_for_update()
        )
        return recipient.c.message_id.in_(ids)

    def _columns(self) -> list[Column[Any]]:
        return [self._table.c[name] for name in self._sealing.all]

    def _write(self, row: Values, place: list[Any]) -> None:
        if self._table is attachment:
            self._write_attachment(row)
            return
        values = {one.name: row[one.name] for one in self._columns()}
        sealed = sealed_values(
            self._keys, self._table, row[self._sealing.owner], values
        )
        before = dict(zip(self._key_columns, place, strict=True))
        for column in UNIQUE & {*self._columns()}:
            key = sealed[column.name]
            if key is not None and self._has_another(column, key, before):
                sealed[column.name] = None
        after = {one: sealed.get(one.name, value) for one, value in before.items()}
        if after != before and self._is_there(after):
            self._connection.execute(delete(self._table).where(*_equal(before)))
        else:
            self._connection.execute(
                update(self._table).where(*_equal(before)).values(sealed)
            )

    def _is_there(self, key: Key) -> bool:
        """Whether a process that had no keys has stored the same once more."""
        return bool(
            self._connection.scalar(
                select(func.count()).select_from(self._table).where(*_equal(key))
            )
        )

    def _has_another(self, column: Column[Any], value: str, row: Key) -> bool:
        """Whether another row than ``row`` has the value."""
        same = select(ONE).where(column == value, not_(and_(*_equal(row))))
        return self._connection.scalar(same) is not None

    def _write_attachment(self, row: Values) -> None:
        """Store it under the digest that it has with the first key."""
        digest, content = row["digest"], row["content"]
        new = attachments.digest_of(self._connection, content)
        if new == digest:
            return
        attachments.add(self._connection, {new: content})
        self._connection.execute(
            update(attached).where(attached.c.digest == digest).values(digest=new)
        )
        self._connection.execute(
            delete(attachment).where(attachment.c.digest == digest)
        )


Key = Mapping[Column[Any], Any]
"""The columns of a primary key, and their values."""


def _equal(key: Key) -> Iterator[ColumnElement[bool]]:
    return (column == value for column, value in key.items())


def _beyond(
    columns: list[Column[Any]], after: list[Any] | None
) -> Iterator[ColumnElement[bool]]:
    """The conditions that a primary key comes after another one.

    The first is implied by the second, which alone would not be seen to be a range.
    """
    if after is None:
        return
    first, *others = columns
    yield first >= after[0]
    rest = [one > value for one, value in zip(others, after[1:], strict=True)]
    yield or_(first > after[0], and_(*rest)) if rest else first > after[0]


def status(
    connection: Connection, keys: Keyring, count_rows_left: bool
) -> EncryptionStatus:
    """Which keys are in use, and perhaps how many rows are left to encrypt, where there
    may be such.
    """
    found = key_register.status(connection, keys)
    others = found.clear or found.old_keys or len(keys.ids) > 1
    if count_rows_left and others:
        return replace(found, rows_left=rows_left(connection, keys))
    return found


def rows_left(connection: Connection, keys: Keyring) -> int:
    """How many rows are not encrypted with the first of ``keys``; reads all rows."""
    return sum(_count(connection, keys, table) for table in SEALED)


def _count(connection: Connection, keys: Keyring, table: Table) -> int:
    rows = select(func.count()).select_from(table).where(_old(keys, table))
    return connection.scalar(rows) or 0


def _old(keys: Keyring, table: Table) -> ColumnElement[bool]:
    """The condition that something in a row is not encrypted with the first key."""
    return or_(*(_is_old(keys, table.c[name]) for name in SEALED[table].all))


def _is_old(keys: Keyring, column: Column[Any]) -> ColumnElement[bool]:
    if column in FOUND_BY:
        in_the_clear = [column != "", ~_begins(column, LOOKUP_MARK)]
        if column is suppression.c.address:
            in_the_clear.append(~_begins(column, DIGESTS))
        return and_(column.is_not(None), *in_the_clear)
    mark: str | bytes = keys.mark.encode() if column.type is BYTES else keys.mark
    return and_(
        column.is_not(None),
        ~_begins(column, mark),
        *(column != plain for plain in PLAIN if isinstance(mark, str)),
    )


def _begins(column: Column[Any], mark: str | bytes) -> ColumnElement[bool]:
    beginning = func.substr(column, 1, len(mark))
    return beginning == literal(mark, type_=column.type)
