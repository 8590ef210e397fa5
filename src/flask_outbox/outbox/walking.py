"""Walking ids, which are ordered by time, window by window along an index.

The database looks at no more rows than a window has, whatever it makes of the rest of
the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, select
from sqlalchemy.engine import Row

from .ids import HIGHEST, ID_LENGTH, LOWEST
from .schema import message, recipient

LOOK_LIMIT = 10_000
"""Messages that one walk looks at."""

FIRST_WINDOW = 250
WINDOW_GROWTH = 4
"""Small at first, for what is frequent is found soon."""

COLUMNS = message.c[
    "id", "state", "subject", "tag", "lane", "attempts", "enqueued_at", "due_at"
]
"""What a walk answers of each message."""

Condition = ColumnElement[bool]


def just_above(message_id: str) -> str:
    """Higher than this id, and not higher than the next."""
    return message_id + LOWEST


@dataclass(frozen=True, slots=True)
class Span:
    """The ids from ``low`` on that are below ``high``."""

    low: str = LOWEST
    high: str = HIGHEST * (ID_LENGTH + 1)

    def holds(self, id: ColumnElement[str]) -> tuple[Condition, Condition]:
        """That ``id`` is one of them."""
        return id >= self.low, id < self.high

    def within(self, low: str | None, high: str | None) -> Span:
        """Those of them that are not below ``low`` and are below ``high``."""
        return Span(max(self.low, low or self.low), min(self.high, high or self.high))


@dataclass(frozen=True, slots=True)
class Strand:
    """Messages in the order of their ids, as one index has them.

    ``keys`` fix the index's first columns; ``id`` is the one after them.
    """

    keys: tuple[Condition, ...] = ()
    id: ColumnElement[str] = message.c.id
    source: FromClause = message

    def length(self, connection: Connection, span: Span) -> int:
        """How many messages it has there, counted up to `LOOK_LIMIT`."""
        some = (
            select(self.id)
            .where(*self.keys, *span.holds(self.id))
            .order_by(self.id)
            .limit(LOOK_LIMIT)
        )
        return connection.scalar(select(func.count()).select_from(some.subquery())) or 0

    def end(
        self, connection: Connection, span: Span, size: int, *, upwards: bool
    ) -> str | None:
        """The last of the next ``size`` ids; None where fewer are left."""
        return connection.scalar(
            select(self.id)
            .where(*self.keys, *span.holds(self.id))
            .order_by(self._order(upwards=upwards))
            .offset(size - 1)
            .limit(1)
        )

    def rows(
        self,
        connection: Connection,
        span: Span,
        conditions: Sequence[Condition],
        limit: int,
        *,
        upwards: bool,
    ) -> Sequence[Row[Any]]:
        """The next ``limit`` messages that fit."""
        return connection.execute(
            select(*COLUMNS)
            .select_from(self.source)
            .where(*self.keys, *span.holds(self.id), *conditions)
            .order_by(self._order(upwards=upwards))
            .limit(limit)
        ).all()

    def _order(self, *, upwards: bool) -> ColumnElement[str]:
        return self.id.asc() if upwards else self.id.desc()


def to_recipient(address: str) -> Strand:
    """The messages that have this recipient."""
    return Strand(
        (recipient.c.address == address,),
        recipient.c.message_id,
        recipient.join(message, message.c.id == recipient.c.message_id),
    )


@dataclass(frozen=True, slots=True)
class Walk:
    """Along several strands at once, downwards from the newest or upwards."""

    connection: Connection
    strands: Sequence[Strand]
    conditions: Sequence[Condition]
    upwards: bool

    def collect(self, span: Span, limit: int) -> tuple[list[Row[Any]], str | None]:
        """Up to ``limit`` messages that fit, in the order of the walk.

        And the last id that was looked at, where `LOOK_LIMIT` ended the walk.
        """
        found: list[Row[Any]] = []
        looked, size = 0, FIRST_WINDOW
        while True:
            end = self._end(span, size)
            window, beyond = self._part(span, end)
            found += self._rows(window, limit - len(found))
            looked += size
            if end is None or len(found) >= limit:
                return found, None
            if looked >= LOOK_LIMIT:
                return found, end
            span = beyond
            size = min(size * WINDOW_GROWTH, LOOK_LIMIT - looked)

    def _end(self, span: Span, size: int) -> str | None:
        """Where the next window ends: none of the strands has more than ``size``."""
        ends = [
            end
            for one in self.strands
            if (end := one.end(self.connection, span, size, upwards=self.upwards))
        ]
        nearest = min if self.upwards else max
        return nearest(ends, default=None)

    def _part(self, span: Span, end: str | None) -> tuple[Span, Span]:
        """The window that ends with ``end``, and what is beyond it."""
        if end is None:
            return span, span
        if self.upwards:
            border = just_above(end)
            return span.within(None, border), span.within(border, None)
        return span.within(end, None), span.within(None, end)

    def _rows(self, window: Span, limit: int) -> list[Row[Any]]:
        found = {
            row.id: row
            for one in self.strands
            for row in one.rows(
                self.connection, window, self.conditions, limit, upwards=self.upwards
            )
        }
        return [found[id] for id in sorted(found, reverse=not self.upwards)][:limit]
