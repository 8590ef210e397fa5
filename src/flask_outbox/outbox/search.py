"""Search: finds the messages that match, newest first, page by page.

Ids are ordered by time. A scan goes along an index in windows of ids. So the database
examines no more rows than a window has, whatever the other criteria are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.engine import Row

from ..delivery import IN_INBOX, State
from ..errors import AddressError
from ..feedback import Fate
from ..message import Address
from .ids import HIGHEST, ID_LENGTH, LOWEST, id_at, is_id, time_of
from .read import moment, summaries_of
from .records import COUNT_LIMIT, NO_PARTS, Count, Page, Search
from .schema import PENDING, message, recipient
from .sealed import forms, keys_of, query

SCAN_LIMIT = 10_000
"""The most messages that one scan examines."""

PAST_BATCHES = 10
"""A search for messages of no batch examines this many times as many: it passes large
batches, whose messages only have to be skipped."""

FIRST_WINDOW = 250
WINDOW_GROWTH = 4
"""Windows are small at first, because frequent messages are found soon."""

COLUMNS = message.c[
    "id", "state", "subject", "tag", "lane", "attempts", "enqueued_at", "due_at"
]
"""The columns that a scan reads of each match."""

Condition = ColumnElement[bool]


def just_above(message_id: str) -> str:
    """The lowest string that is above this id."""
    return message_id + LOWEST


@dataclass(frozen=True, slots=True)
class IdRange:
    """The ids from ``low`` (included) to ``high`` (excluded)."""

    low: str = LOWEST
    high: str = HIGHEST * (ID_LENGTH + 1)

    def holds(self, id: ColumnElement[str]) -> tuple[Condition, Condition]:
        """The conditions that ``id`` is in this range."""
        return id >= self.low, id < self.high

    def within(self, low: str | None, high: str | None) -> IdRange:
        """The part of this range from ``low`` (included) to ``high`` (excluded)."""
        return IdRange(
            max(self.low, low or self.low), min(self.high, high or self.high)
        )


@dataclass(frozen=True, slots=True)
class IndexRange:
    """A part of one index, in which messages are ordered by their ids.

    ``keys`` fix the index's first columns; ``id`` is the one after them.
    """

    keys: tuple[Condition, ...] = ()
    id: ColumnElement[str] = message.c.id
    source: FromClause = message
    repeats: bool = False
    """Whether it may have a message several times."""

    def length(self, connection: Connection, id_range: IdRange) -> int:
        """How many messages it has in ``id_range``, counted up to `SCAN_LIMIT`."""
        some = (
            select(self.id)
            .where(*self.keys, *id_range.holds(self.id))
            .order_by(self.id)
            .limit(SCAN_LIMIT)
        )
        return connection.scalar(select(func.count()).select_from(some.subquery())) or 0

    def end(
        self, connection: Connection, id_range: IdRange, size: int, *, upwards: bool
    ) -> str | None:
        """The last of the next ``size`` ids; None if fewer are left."""
        return connection.scalar(
            select(self.id)
            .where(*self.keys, *id_range.holds(self.id))
            .order_by(self._order(upwards=upwards))
            .offset(size - 1)
            .limit(1)
        )

    def rows(
        self,
        connection: Connection,
        id_range: IdRange,
        conditions: Sequence[Condition],
        limit: int,
        *,
        upwards: bool,
    ) -> Sequence[Row[Any]]:
        """The next ``limit`` messages that match."""
        columns = select(*COLUMNS)
        if self.repeats:
            columns = select(self.id.label("found"), *COLUMNS).distinct()
        return query(
            connection,
            columns.select_from(self.source)
            .where(*self.keys, *id_range.holds(self.id), *conditions)
            .order_by(self._order(upwards=upwards))
            .limit(limit),
        ).all()

    def _order(self, *, upwards: bool) -> ColumnElement[str]:
        return self.id.asc() if upwards else self.id.desc()


def of_recipient(address: str) -> IndexRange:
    """The messages that have this recipient, as stored."""
    return IndexRange(
        (recipient.c.address == address,),
        recipient.c.message_id,
        recipient.join(message, message.c.id == recipient.c.message_id),
    )


def of_fate(fate: Fate) -> IndexRange:
    """The messages any of whose recipients have this fate."""
    return IndexRange(
        (recipient.c.fate == fate.value,),
        recipient.c.message_id,
        recipient.join(message, message.c.id == recipient.c.message_id),
        repeats=True,
    )


@dataclass(frozen=True, slots=True)
class IdScan:
    """A scan of several index ranges at once, from the newest down or upwards."""

    connection: Connection
    index_ranges: Sequence[IndexRange]
    conditions: Sequence[Condition]
    upwards: bool
    most: int
    """The most messages to examine."""
    subject: str | None = None
    """What the subject contains, where it is encrypted: then that is looked for in each
    row of a window."""

    def collect(
        self, id_range: IdRange, limit: int
    ) -> tuple[list[Row[Any]], str | None]:
        """Up to ``limit`` messages that match, in the order of the scan.

        Also returns the last id examined, if ``most`` ended the scan.
        """
        found: list[Row[Any]] = []
        looked, size = 0, FIRST_WINDOW
        while True:
            end = self._end(id_range, size)
            window, beyond = self._part(id_range, end)
            found += self._rows(window, limit - len(found))
            looked += size
            if end is None or len(found) >= limit:
                return found, None
            if looked >= self.most:
                return found, end
            id_range = beyond
            size = min(size * WINDOW_GROWTH, self.most - looked)

    def _end(self, id_range: IdRange, size: int) -> str | None:
        """Where the next window ends, so that no index range has more than ``size``."""
        ends = [
            end
            for one in self.index_ranges
            if (end := one.end(self.connection, id_range, size, upwards=self.upwards))
        ]
        nearest = min if self.upwards else max
        return nearest(ends, default=None)

    def _part(self, id_range: IdRange, end: str | None) -> tuple[IdRange, IdRange]:
        """The window that ends with ``end``, and what is beyond it."""
        if end is None:
            return id_range, id_range
        if self.upwards:
            border = just_above(end)
            return id_range.within(None, border), id_range.within(border, None)
        return id_range.within(end, None), id_range.within(None, end)

    def _rows(self, window: IdRange, limit: int) -> list[Row[Any]]:
        part = None if self.subject is None else self.subject.lower()
        examined = limit if part is None else self.most
        found = {
            row.id: row
            for one in self.index_ranges
            for row in one.rows(
                self.connection, window, self.conditions, examined, upwards=self.upwards
            )
            if part is None or part in row.subject.lower()
        }
        return [found[id] for id in sorted(found, reverse=not self.upwards)][:limit]


SEVERAL_ADDRESSES = 20
"""Up to this many addresses that match ``wanted*`` are looked up one by one. If there
are more, a scan of all messages finds enough matches soon."""

_LAST_CHARACTER = "\U0010ffff"


def search(
    connection: Connection,
    wanted: Search,
    now: float,
    limit: int,
    before: str | None = None,
    after: str | None = None,
) -> Page:
    """The newest messages that match, or the next ones below or above a page."""
    upwards = after is not None
    scan, id_range = _scan(connection, wanted, now, upwards=upwards)
    found, last = scan.collect(id_range.within(after, before), limit + 1)
    shown = found[:limit]
    border = None
    if len(found) > limit:
        border = found[limit].id if upwards else shown[-1].id
    elif last is not None:
        border = just_above(last) if upwards else last
    return Page(
        tuple(summaries_of(connection, shown[::-1] if upwards else shown)),
        older=after if upwards else border,
        newer=border if upwards else before,
        looked_to=None if last is None else moment(time_of(last)),
    )


def count(connection: Connection, wanted: Search, now: float) -> Count:
    """How many messages match, as far as one scan tells."""
    scan, id_range = _scan(connection, wanted, now, upwards=False)
    found, last = scan.collect(id_range, COUNT_LIMIT + 1)
    counted = Count.of(len(found))
    return counted if last is None else replace(counted, exact=False)


def _scan(
    connection: Connection, wanted: Search, now: float, *, upwards: bool
) -> tuple[IdScan, IdRange]:
    """The scan that finds ``wanted``, and the ids in which that can be."""
    id_range = _id_range(connection, wanted)
    subject = None
    if keys_of(connection) is not None:
        if wanted.address is not None and wanted.address.endswith("*"):
            raise AddressError("address", NO_PARTS)
        wanted, subject = replace(wanted, subject=None), wanted.subject
    conditions = _conditions(wanted, now)
    index_ranges, more = _index_ranges(connection, wanted, id_range)
    most = SCAN_LIMIT * (PAST_BATCHES if wanted.alone else 1)
    scan = IdScan(
        connection, index_ranges, [*conditions, *more], upwards, most, subject
    )
    return scan, id_range


# ------------------------------------------------------------------------- id range


def _id_range(connection: Connection, wanted: Search) -> IdRange:
    """The smallest known range of ids that holds all matches."""
    id_range = IdRange().within(
        None if wanted.since is None else id_at(wanted.since.timestamp()),
        None if wanted.until is None else id_at(wanted.until.timestamp()),
    )
    for beginning in (wanted.id, _id_within(connection, wanted.rfc_message_id)):
        if beginning is not None:
            id_range = id_range.within(*_prefix_bounds(beginning.upper()))
    return id_range


def _prefix_bounds(beginning: str) -> tuple[str, str]:
    return (
        beginning.ljust(ID_LENGTH, LOWEST),
        just_above(beginning.ljust(ID_LENGTH, HIGHEST)),
    )


def _id_within(connection: Connection, rfc_message_id: str | None) -> str | None:
    """The id of the message with this Message-ID header, if that contains the id."""
    if rfc_message_id is None:
        return None
    unique = rfc_message_id.strip("<> ").partition("@")[0]
    if not is_id(unique):
        return None
    return connection.scalar(
        select(message.c.id).where(
            message.c.id == unique,
            message.c.rfc_message_id == _with_angle_brackets(rfc_message_id),
        )
    )


def _with_angle_brackets(rfc_message_id: str) -> str:
    return f"<{rfc_message_id.strip('<> ')}>"


# ----------------------------------------------------------------------- conditions


def _conditions(wanted: Search, now: float) -> list[Condition]:
    """The conditions of a match that do not depend on the index used."""
    rfc_message_id = _with_angle_brackets(wanted.rfc_message_id or "")
    given: list[tuple[object, Condition]] = [
        (wanted.state, message.c.state == wanted.state),
        (wanted.lane, message.c.lane == wanted.lane),
        (wanted.tag, message.c.tag == wanted.tag),
        (wanted.batch, message.c.batch == wanted.batch),
        (wanted.rfc_message_id, message.c.rfc_message_id == rfc_message_id),
        (wanted.subject, _contains(wanted.subject or "")),
        (wanted.due, _is_due(now, due=bool(wanted.due))),
        (wanted.in_inbox or None, _is_in_this_inbox()),
        (wanted.alone or None, message.c.batch.is_(None)),
    ]
    return [condition for value, condition in given if value is not None]


def _contains(part: str) -> Condition:
    return func.lower(message.c.subject).contains(part.lower(), autoescape=True)


def _is_due(now: float, *, due: bool) -> Condition:
    time_has_come = message.c.due_at <= now
    return and_(message.c.state == PENDING, time_has_come if due else ~time_has_come)


def _is_in_this_inbox() -> Condition:
    own = recipient.alias()
    return exists().where(
        own.c.message_id == message.c.id, own.c.reply_text == IN_INBOX.text
    )


# ------------------------------------------------------------------- choice of index


def _index_ranges(
    connection: Connection, wanted: Search, id_range: IdRange
) -> tuple[Sequence[IndexRange], list[Condition]]:
    """The shortest index ranges to scan, and the conditions that they do not cover."""
    ways: list[Sequence[IndexRange]] = []
    states = _states(wanted)
    if len(states) == 1:
        ways.append([IndexRange((message.c.state == states[0],))])
    if wanted.tag is not None:
        ways.append([IndexRange((message.c.tag == wanted.tag,))])
    if wanted.batch is not None:
        batch = message.c.batch == wanted.batch
        ways.append([IndexRange((batch, message.c.state == one)) for one in states])
    to_them = _recipient_ranges(connection, wanted.address)
    if to_them is not None:
        ways.append(to_them)
    with_fate = [of_fate(wanted.fate)] if wanted.fate else None
    if with_fate is not None:
        ways.append(with_fate)
    if len(ways) > 1:
        ways.sort(key=lambda way: sum(one.length(connection, id_range) for one in way))
    way = ways[0] if ways else [IndexRange()]
    more = []
    if wanted.address is not None and way is not to_them:
        more.append(_has_recipient(connection, wanted.address))
    if wanted.fate is not None and way is not with_fate:
        more.append(_has_fate(wanted.fate))
    return way, more


def _states(wanted: Search) -> Sequence[State | ColumnElement[str]]:
    """The states that a match may have."""
    if wanted.state is not None:
        return [wanted.state]
    return list(State) if wanted.due is None else [PENDING]


def _recipient_ranges(
    connection: Connection, wanted: str | None
) -> Sequence[IndexRange] | None:
    """An index range for each matching address; None if there are too many."""
    if wanted is None:
        return None
    if not wanted.endswith("*"):
        return [*map(of_recipient, _stored(connection, wanted))]
    addresses = _addresses(connection, wanted)
    if len(addresses) > SEVERAL_ADDRESSES:
        return None
    return [of_recipient(one) for one in addresses]


def _addresses(connection: Connection, wanted: str) -> list[str]:
    """The matching addresses, up to one more than allowed: one index seek each."""
    found: list[str] = []
    while len(found) <= SEVERAL_ADDRESSES:
        above = recipient.c.address > found[-1] if found else true()
        address = connection.scalar(
            select(func.min(recipient.c.address)).where(
                _begins(recipient.c.address, wanted), above
            )
        )
        if address is None:
            break
        found.append(address)
    return found


def _has_recipient(connection: Connection, wanted: str) -> Condition:
    address = recipient.alias().c.address
    if wanted.endswith("*"):
        matches = _begins(address, wanted)
    else:
        matches = address.in_(_stored(connection, wanted))
    return exists().where(address.table.c.message_id == message.c.id, matches)


def _has_fate(wanted: Fate) -> Condition:
    own = recipient.alias()
    return exists().where(own.c.message_id == message.c.id, own.c.fate == wanted.value)


def _begins(address: ColumnElement[str], wanted: str) -> Condition:
    """Condition that ``address`` begins with what comes before the ``*``."""
    local, at, domain = wanted.removesuffix("*").partition("@")
    beginning = local + at + domain.lower()
    return and_(address >= beginning, address < beginning + _LAST_CHARACTER)


def _stored(connection: Connection, address: str) -> list[str]:
    return forms(connection, recipient.c.address, _normalized(address))


def _normalized(address: str) -> str:
    try:
        return Address.parse(address, "address").spec
    except AddressError:
        return address
