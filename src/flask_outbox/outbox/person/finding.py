"""Finds what names a person: messages to them, and their address in any text.

Every column of every table that may hold a text is looked at, so that a new one is
covered, too. What is the content of mail to others is not: it may be encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Table,
    and_,
    func,
    or_,
    select,
)

from ...erased_address import PLACEHOLDER
from ...message import Address, AddressLike, comparable
from ..enqueue import as_json
from ..ids import HIGHEST, LOWEST
from ..schema import feedback, message, metadata, recipient, webhook
from ..sealed import FOUND_BY, is_encrypted, query, same

ROWS_AT_ONCE = 5_000
"""How many messages, or rows of another large table, one statement reads."""

SHORTEST = 64
"""Columns for shorter texts hold ids and words of our own."""


@dataclass(frozen=True)
class Person:
    """A person by their address, as `comparable` writes it."""

    address: str

    @classmethod
    def of(cls, address: AddressLike) -> Person:
        """The person with ``address``. Raises `AddressError`."""
        return cls(comparable(Address.parse(address, "address").spec))

    def owns(self, address: str) -> bool:
        """Whether ``address`` is theirs, however it is written."""
        return comparable(address) == self.address

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        """Their address in a text, where it is not a part of another one."""
        before, after = r"(?<![\w.+-])(?<!\w')", r"(?![\w-])(?!\.\w)"
        return re.compile(before + re.escape(self.address) + after, re.IGNORECASE)

    def nameless(self, text: str) -> str:
        """``text`` with a placeholder for each mention of the address.

        In JSON, in its strings.
        """
        if text[:1] in ("{", "["):
            try:
                given = json.loads(text)
            except ValueError:
                pass
            else:
                changed = self._nameless(given)
                return text if changed == given else as_json(changed)
        return self._mention.sub(PLACEHOLDER, text)

    def _nameless(self, value: Any) -> Any:
        match value:
            case str():
                return self._mention.sub(PLACEHOLDER, value)
            case list():
                return [self._nameless(one) for one in value]
            case dict():
                return {
                    self._nameless(name): self._nameless(one)
                    for name, one in value.items()
                }
            case _:
                return value

    def may_be_in(self, column: Column[Any]) -> ColumnElement[bool]:
        """Condition that holds for each text that names them, and for few others."""
        plain = re.fullmatch(r"[!#-\[\]-~]+", self.address)
        domain = self.address[self.address.rindex("@") :]
        text = func.lower(func.coalesce(column, ""))
        return text.contains(self.address if plain else domain, autoescape=True)

    def may_be_to(self) -> ColumnElement[bool]:
        """Condition that holds for each recipient who is them, and for few others."""
        domain = self.address[self.address.rindex("@") :]
        return recipient.c.address.iendswith(domain, autoescape=True)


class Mention(NamedTuple):
    """A text that names the person, and what it is without them."""

    table: Table
    row: Row[Any]
    changed: Mapping[str, str]
    """Column → the nameless text."""


def texts(table: Table) -> list[Column[Any]]:
    """The columns that may hold an address, but for keys."""
    return [
        one
        for one in table.columns
        if isinstance(one.type, String)
        and (one.type.length is None or one.type.length >= SHORTEST)
        and not one.primary_key
    ]


def _of_messages() -> list[Table]:
    """The tables whose rows belong to a message."""
    return [
        table
        for table in metadata.sorted_tables
        if table is message
        or ("message_id" in table.c and table.c.message_id.foreign_keys)
    ]


OF_MESSAGES = _of_messages()

OTHERS = [one for one in metadata.sorted_tables if one not in OF_MESSAGES]


def id_of(table: Table) -> Column[Any]:
    """The column of ``table`` that has a message's id."""
    return table.c.id if table is message else table.c.message_id


class Spread(NamedTuple):
    """Messages whose ids follow each other; or rows of another table."""

    after: str
    last: str

    def of(self, column: Column[Any]) -> ColumnElement[bool]:
        """Condition that the id in ``column`` is among them."""
        return (column > self.after) & (column <= self.last)


Reading = Callable[[], AbstractContextManager[Connection]]


def spreads(reading: Reading, ids: Column[Any] = message.c.id) -> Iterator[Spread]:
    """All messages, or all rows with ``ids``, the oldest first, some at a time."""
    after = LOWEST
    while after != HIGHEST:
        with reading() as connection:
            last = connection.scalar(
                select(ids)
                .where(ids > after)
                .order_by(ids)
                .offset(ROWS_AT_ONCE - 1)
                .limit(1)
            )
        yield Spread(after, last or HIGHEST)
        after = last or HIGHEST


def messages_to(
    connection: Connection, person: Person, spread: Spread
) -> Sequence[str]:
    """The ids of the messages of which they are a recipient."""
    wanted = select(*recipient.c["message_id", "address"])
    wanted = wanted.where(spread.of(recipient.c.message_id))
    if not is_encrypted(connection, recipient):
        wanted = wanted.where(person.may_be_to())
    rows = query(connection, wanted.order_by(recipient.c.message_id))
    return [*dict.fromkeys(row.message_id for row in rows if person.owns(row.address))]


def messages_naming(
    connection: Connection, person: Person, spread: Spread
) -> Sequence[str]:
    """The ids of the messages that name them, but for their contents."""
    found = {
        str(one.row._mapping[id_of(one.table)])
        for table in OF_MESSAGES
        for one in mentions(connection, person, table, spread.of(id_of(table)))
    }
    return sorted(found)


def mentions(
    connection: Connection,
    person: Person,
    table: Table,
    where: ColumnElement[bool] | None = None,
) -> list[Mention]:
    """The rows of ``table`` that name the person in a text."""
    columns = texts(table)
    if not columns:
        return []
    keys = [*table.primary_key]
    wanted = select(*dict.fromkeys([*keys, *columns, *_own_id(table)]))
    if not is_encrypted(connection, table):
        wanted = wanted.where(or_(*map(person.may_be_in, columns)))
    if where is not None:
        wanted = wanted.where(where)
    found = []
    for row in query(connection, wanted.order_by(*keys)):
        changed = _changed(person, row, columns)
        if changed:
            found.append(Mention(table, row, changed))
    return found


def mentions_in(reading: Reading, person: Person, table: Table) -> list[Mention]:
    """The rows of a table of `OTHERS` that name the person in a text."""
    if table is not feedback:
        with reading() as connection:
            return mentions(connection, person, table)
    found: list[Mention] = []
    for spread in spreads(reading, feedback.c.id):
        with reading() as connection:
            where = spread.of(feedback.c.id)
            found += mentions(connection, person, table, where)
    return found


def among(connection: Connection, found: Collection[Mention]) -> ColumnElement[bool]:
    """Condition that a row is one of those."""
    return or_(
        *(
            and_(
                *(
                    _has(connection, key, one.row._mapping[key])
                    for key in one.table.primary_key
                )
            )
            for one in found
        )
    )


def _has(connection: Connection, key: Column[Any], value: Any) -> ColumnElement[bool]:
    return same(connection, key, value) if key in FOUND_BY else key == value


def _own_id(table: Table) -> Collection[Column[Any]]:
    return [id_of(table)] if table in OF_MESSAGES else []


def _changed(
    person: Person, row: Row[Any], columns: Sequence[Column[Any]]
) -> dict[str, str]:
    texts = ((one.name, row._mapping[one]) for one in columns)
    return {
        name: nameless
        for name, text in texts
        if text and (nameless := person.nameless(text)) != text
    }


def webhooks_naming(connection: Connection, person: Person) -> Select[Any]:
    """The query for webhooks that may tell of them."""
    wanted = select(webhook).order_by(webhook.c.endpoint, webhook.c.id)
    if is_encrypted(connection, webhook):
        return wanted
    return wanted.where(person.may_be_in(webhook.c.body))


def told_of(person: Person, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the body of a webhook says of the person as a recipient."""
    recipients = body["data"].get("recipients", ())
    return [one for one in recipients if person.owns(one["address"])]
