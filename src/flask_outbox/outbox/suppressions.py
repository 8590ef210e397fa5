"""The suppression list: addresses that must not be mailed, for all mail or one tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    String,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from ..delivery import Reply, storable
from ..errors import MessageError
from ..message import Address, AddressLike, check_label, comparable
from ..recipient_guard import Guard
from .ids import ID_LENGTH, LOWEST, is_id
from .read import moment
from .received import LATEST
from .records import Suppression
from .schema import pardon, suppression
from .statements import PreparedStatement, Statement, run_together

EVERYTHING = ""
"""The list for mail of every tag. Any other list is named after the tag it bars."""

SOURCES = (
    "person", "api", "import", "unsubscribe", "bounce", "complaint", "refusal",
    "provider",
)  # fmt: skip
"""Where a suppression may come from."""

ASKED_AT_ONCE = 512
"""The most addresses that one statement looks up."""

PAGE = 500
"""How many suppressions `read` fetches per transaction."""

Found = Mapping[str, Sequence[Suppression]]
"""Comparable address → its suppressions, one per list."""


def new_suppression(
    address: AddressLike,
    list: str,
    reason: str,
    source: str,
    added_at: float,
    evidence: Mapping[str, Any] | None = None,
) -> Suppression:
    """A valid suppression; ``added_at`` is in epoch seconds.

    Raises `MessageError`, whose field names the argument at fault.
    """
    if list != EVERYTHING:
        check_label("list", list)
    if not isinstance(reason, str):
        raise MessageError("reason", f"{reason!r} is not a string.")
    if source not in SOURCES:
        raise MessageError("source", f"{source!r} is none of {', '.join(SOURCES)}.")
    _check_evidence(evidence or {})
    return Suppression(
        _mailbox(address), list, storable(reason), source, moment(added_at), evidence
    )


EVIDENCE: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("fate", "source", "event_id", "message_id", "words"), str),
    **dict.fromkeys(("transport", "listed_for"), str),
    "at": (int, float),
    "reports": int,
}
"""What evidence may say, and of which type that is."""


def _check_evidence(evidence: Mapping[str, Any]) -> None:
    for name, value in evidence.items():
        if not isinstance(value, EVIDENCE.get(name, ())):
            raise MessageError("evidence", f"{name!r} cannot be {value!r}.")
    if not is_id(evidence.get("message_id", LOWEST * ID_LENGTH)):
        raise MessageError(
            "evidence", f"{evidence['message_id']!r} is not the id of a message."
        )
    if not 0.0 <= evidence.get("at", 0.0) <= LATEST:
        raise MessageError(
            "evidence", f"at: {evidence['at']!r} is not a time in epoch seconds."
        )


def _mailbox(address: AddressLike) -> str:
    return comparable(Address.parse(address, "address").spec)


# Reading


def find(connection: Connection, addresses: Iterable[str]) -> Found:
    """The suppressions of ``addresses``, on all lists."""
    return found_in(run_together(connection, queries(connection.dialect, addresses)))


def queries(dialect: Dialect, addresses: Iterable[str]) -> list[Statement]:
    """The statements that ask for the suppressions of ``addresses``."""
    statements = []
    wanted = sorted({*map(comparable, addresses)})
    for start in range(0, len(wanted), ASKED_AT_ONCE):
        some = wanted[start : start + ASKED_AT_ONCE]
        places = 1 << (len(some) - 1).bit_length()
        some += some[-1:] * (places - len(some))
        statements.append(_query_for(places).asking(dialect, some))
    return statements


def found_in(answers: Iterable[Iterable[tuple[Any, ...]]]) -> Found:
    """The suppressions in the answers to `queries`."""
    found: dict[str, list[Suppression]] = {}
    for rows in answers:
        for one in rows:
            found.setdefault(one[0], []).append(_record(*one))
    return found


@lru_cache
def _query_for(places: int) -> PreparedStatement:
    """The query for ``places`` addresses: a power of two, so that few are compiled."""
    wanted = (bindparam(f"a{place}", type_=String) for place in range(places))
    return PreparedStatement(
        select(*_COLUMNS)
        .where(suppression.c.address.in_([*wanted]))
        .order_by(suppression.c.list)
    )


_COLUMNS = suppression.c["address", "list", "reason", "source", "added_at", "evidence"]


def _record(
    address: str,
    list: str,
    reason: str,
    source: str,
    added_at: float,
    evidence: str | None,
) -> Suppression:
    said = json.loads(evidence) if evidence else None
    return Suppression(address, list, reason, source, moment(added_at), said)


def barred(
    found: Found, recipients: Collection[str], tag: str | None, guard: Guard
) -> dict[str, Reply]:
    """Which of ``recipients`` must not get a message with ``tag``, and why.

    Includes those whom ``guard`` refuses, whether or not they are on a list.
    """
    barred = guard.barred(recipients)
    if found:
        barred |= {
            address: _why(one)
            for address in recipients
            for one in reversed(found.get(comparable(address), ()))
            if one.list in (EVERYTHING, tag)
        }
    return barred


def keeping_from(connection: Connection, address: str, tag: str) -> Suppression | None:
    """The suppression that bars mail with ``tag`` to ``address``, if any.

    One for all mail comes before one for that tag.
    """
    found = find(connection, [address]).get(comparable(address), ())
    return next((one for one in found if one.list in (EVERYTHING, tag)), None)


def _why(one: Suppression) -> Reply:
    which = f" for {one.list}" if one.list else ""
    reason = f": {one.reason}" if one.reason else ""
    since = f"{one.added_at:%Y-%m-%d}"
    return Reply.observed(f"on the suppression list{which} since {since}{reason}")


def read(
    reading: Callable[[], AbstractContextManager[Connection]],
    list: str | None,
    source: str | None,
) -> Iterator[Suppression]:
    """The suppressions of ``list`` and from ``source``, or of all lists and from
    anywhere for None, ordered by address.

    Holds one page of them in memory at a time.
    """
    last = None
    while True:
        with reading() as connection:
            page = _page(connection, list, source, last)
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]


def _page(
    connection: Connection,
    list: str | None,
    source: str | None,
    after: Suppression | None,
) -> list[Suppression]:
    wanted = select(*_COLUMNS).order_by(*_COLUMNS[:2]).limit(PAGE)
    if list is not None:
        wanted = wanted.where(suppression.c.list == list)
    if source is not None:
        wanted = wanted.where(suppression.c.source == source)
    if after is not None:
        same = suppression.c.address == after.address
        later = suppression.c.address > after.address
        wanted = wanted.where(or_(later, same & (suppression.c.list > after.list)))
    return [_record(*row) for row in connection.execute(wanted)]


# Changing


def add_one(connection: Connection, one: Suppression) -> Suppression:
    """Store ``one`` unless its address is on that list; return the stored one."""
    add(connection, [one])
    found = find(connection, [one.address])
    return next(kept for kept in found[one.address] if kept.list == one.list)


def add(connection: Connection, entries: Sequence[Suppression]) -> int:
    """Store ``entries`` and return how many are new. Existing ones stay unchanged."""
    return len(add_new(connection, entries))


def add_new(
    connection: Connection, entries: Sequence[Suppression]
) -> list[Suppression]:
    """Store ``entries`` and return those that are new. Existing ones stay unchanged."""
    new = absent(connection, entries)
    if new:
        rows = sorted(map(_row, new), key=lambda row: (row["address"], row["list"]))
        connection.execute(suppression.insert(), rows)
    return new


def absent(connection: Connection, entries: Sequence[Suppression]) -> list[Suppression]:
    """Those of ``entries`` whose address is not on their list yet, each once."""
    found = find(connection, [one.address for one in entries])
    there = {(one.address, one.list) for some in found.values() for one in some}
    new: dict[tuple[str, str], Suppression] = {}
    for one in entries:
        if (one.address, one.list) not in there:
            new.setdefault((one.address, one.list), one)
    return [*new.values()]


def _row(one: Suppression) -> dict[str, Any]:
    return {
        "address": one.address,
        "list": one.list,
        "reason": one.reason,
        "source": one.source,
        "added_at": one.added_at.timestamp(),
        "evidence": None if one.evidence is None else json.dumps(dict(one.evidence)),
    }


def remove(
    connection: Connection,
    address: AddressLike,
    list: str,
    source: str | None,
    now: float,
) -> bool:
    """Take ``address`` off ``list``; False if it was not on it.

    With ``source``, only if the suppression came from there. What was reported before
    does not bring it back.
    """
    mailbox = _mailbox(address)
    wanted = delete(suppression).where(
        suppression.c.address == mailbox, suppression.c.list == list
    )
    if source is not None:
        wanted = wanted.where(suppression.c.source == source)
    if connection.execute(wanted).rowcount != 1:
        return False
    write_pardons(connection, [{"address": mailbox, "list": list, "at": now}])
    return True


def write_pardons(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note when addresses were taken off lists, unless a later time is noted."""
    for row in rows:
        place = pardon.c.address == row["address"], pardon.c.list == row["list"]
        known = connection.scalar(select(pardon.c.at).where(*place))
        if known is None:
            connection.execute(pardon.insert().values(**row))
        elif known < row["at"]:
            connection.execute(update(pardon).where(*place).values(at=row["at"]))
