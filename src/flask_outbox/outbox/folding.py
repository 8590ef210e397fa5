"""The list of all mail in which each batch is one row, whose messages are folded away.

A batch stands where its latest rows were stored, so that it moves no more once all of
them are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import Row

from ..delivery import State
from .ids import HIGHEST, ID_LENGTH, LOWEST, dated, id_at, time_of
from .read import moment
from .records import COUNT_LIMIT, BatchSummary, Count, Page, Search
from .schema import ONE, batch, message
from .sealed import query
from .search import search

_MILLISECOND = 0.001

_SAME_TIME = 20
"""More batches than are ever stored in one millisecond."""


def search_folded(
    connection: Connection,
    wanted: Search,
    now: float,
    limit: int,
    before: str | None = None,
    after: str | None = None,
) -> Page:
    """A page of the messages of no batch, and of the batches in between.

    Of ``wanted``, ``since`` and ``until`` apply to batches, too; nothing else does.
    """
    upwards = after is not None
    alone = replace(wanted, alone=True)
    page = search(connection, alone, now, limit, before, after)
    low, high = (after, page.newer) if upwards else (page.older, before)
    batches = _batches(connection, wanted, low, high, limit + 1, upwards=upwards)
    page = _first(replace(page, batches=tuple(batches)), limit, upwards=upwards)
    counts = _counts(connection, [one.id for one in page.batches])
    return replace(
        page,
        batches=tuple(replace(one, counts=counts[one.id]) for one in page.batches),
    )


def _first(page: Page, limit: int, *, upwards: bool) -> Page:
    """The first ``limit`` rows of a page, in the order of the search."""
    rows = page.rows[::-1] if upwards else page.rows
    if len(rows) <= limit:
        return page
    kept = {one.position for one in rows[:limit]}
    shorter = replace(
        page,
        messages=tuple(one for one in page.messages if one.position in kept),
        batches=tuple(one for one in page.batches if one.position in kept),
        looked_to=None,
    )
    if upwards:
        return replace(shorter, newer=rows[limit].position)
    return replace(shorter, older=rows[limit - 1].position)


def _batches(
    connection: Connection,
    wanted: Search,
    low: str | None,
    high: str | None,
    limit: int,
    *,
    upwards: bool,
) -> list[BatchSummary]:
    """The next ``limit`` batches from ``low`` (included) to ``high`` (excluded)."""
    low = max(low or LOWEST * ID_LENGTH, _border(wanted.since, LOWEST))
    high = min(high or HIGHEST * ID_LENGTH, _border(wanted.until, HIGHEST))
    at = batch.c.stored_at
    rows = query(
        connection,
        select(*batch.c["id", "name", "tag", "rows_stored", "stored_at"])
        .where(
            at >= time_of(low) - _MILLISECOND,
            at <= time_of(high) + _MILLISECOND,
        )
        .order_by(at if upwards else at.desc())
        .limit(limit + _SAME_TIME),
    )
    found = [one for one in map(_summary, rows) if low <= one.position < high]
    return sorted(found, key=lambda one: one.position, reverse=not upwards)[:limit]


def _border(at: Any, otherwise: str) -> str:
    return otherwise * ID_LENGTH if at is None else id_at(at.timestamp())


def _summary(row: Row[Any]) -> BatchSummary:
    return BatchSummary(
        id=row.id,
        name=row.name,
        tag=row.tag,
        messages=row.rows_stored,
        stored_at=moment(row.stored_at),
        position=dated(row.id, row.stored_at),
    )


def _counts(
    connection: Connection, ids: Sequence[str]
) -> dict[str, dict[State, Count]]:
    """How many messages of each batch are in which state, in one statement: each is
    counted along an index, up to `COUNT_LIMIT`.
    """
    if not ids:
        return {}
    pairs = [(one, state) for one in ids for state in State]
    row = connection.execute(select(*(_count(*pair) for pair in pairs))).one()
    found: dict[str, dict[State, Count]] = {one: {} for one in ids}
    for (one, state), number in zip(pairs, row, strict=True):
        if number:
            found[one][state] = Count.of(number)
    return found


def _count(which: str, state: State) -> Any:
    some = (
        select(ONE)
        .select_from(message)
        .where(message.c.batch == which, message.c.state == state.value)
        .order_by(message.c.id)
        .limit(COUNT_LIMIT + 1)
    )
    return select(func.count()).select_from(some.subquery()).scalar_subquery()
