"""Suppressions: addresses that must not be mailed, and whom of a message that bars."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, String, bindparam, delete, or_, select

from ..delivery import Reply, storable
from ..errors import MessageError
from ..guard import Guard
from ..message import Address, AddressLike, check_label, comparable
from .asking import moment
from .hot import Hot
from .records import Suppression
from .schema import suppression

EVERYTHING = ""
"""The list of those who must not be mailed at all."""

SOURCES = ("person", "api", "import", "unsubscribe")
"""Who may say so."""

ASKED_AT_ONCE = 512
"""How many addresses one statement asks for at most."""

PAGE = 500
"""How many suppressions are read at a time."""

Found = Mapping[str, Sequence[Suppression]]
"""Comparable address → on which lists it is."""


def entry(
    address: AddressLike, list: str, reason: str, source: str, added_at: float
) -> Suppression:
    """A suppression that can be kept; ``added_at`` in epoch seconds.

    Raises `MessageError`; its field is one of these names.
    """
    if list != EVERYTHING:
        check_label("list", list)
    if not isinstance(reason, str):
        raise MessageError("reason", f"{reason!r} is not a string.")
    if source not in SOURCES:
        raise MessageError("source", f"{source!r} is none of {', '.join(SOURCES)}.")
    return _record(_mailbox(address), list, storable(reason), source, added_at)


def _mailbox(address: AddressLike) -> str:
    return comparable(Address.parse(address, "address").spec)


# Asking


def find(connection: Connection, addresses: Iterable[str]) -> Found:
    """The suppressions of ``addresses``, whatever list they are on."""
    found: dict[str, list[Suppression]] = {}
    wanted = sorted({comparable(one) for one in addresses})
    for start in range(0, len(wanted), ASKED_AT_ONCE):
        some = wanted[start : start + ASKED_AT_ONCE]
        places = 1 << (len(some) - 1).bit_length()
        some += some[-1:] * (places - len(some))
        row = {f"a{place}": address for place, address in enumerate(some)}
        for one in _asking(places).rows(connection, row):
            found.setdefault(one[0], []).append(_record(*one))
    return found


@lru_cache
def _asking(places: int) -> Hot:
    """The question for so many addresses; in powers of two there are few of them."""
    wanted = (bindparam(f"a{place}", type_=String) for place in range(places))
    return Hot(
        select(*_COLUMNS)
        .where(suppression.c.address.in_([*wanted]))
        .order_by(suppression.c.list)
    )


_COLUMNS = suppression.c["address", "list", "reason", "source", "added_at"]


def _record(
    address: str, list: str, reason: str, source: str, added_at: float
) -> Suppression:
    return Suppression(address, list, reason, source, moment(added_at))


def barred(
    found: Found, recipients: Collection[str], tag: str | None, guard: Guard
) -> dict[str, Reply]:
    """Who of ``recipients`` must not get a message with ``tag``, and why.

    Whatever is on no list, ``guard`` may bar.
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
    """What keeps mail with ``tag`` from ``address``; of all mail before of that tag."""
    found = find(connection, [address]).get(comparable(address), ())
    return next((one for one in found if one.list in (EVERYTHING, tag)), None)


def _why(one: Suppression) -> Reply:
    which = f" for {one.list}" if one.list else ""
    reason = f": {one.reason}" if one.reason else ""
    since = f"{one.added_at:%Y-%m-%d}"
    return Reply.observed(f"on the suppression list{which} since {since}{reason}")


def read(
    reading: Callable[[], AbstractContextManager[Connection]], list: str | None
) -> Iterator[Suppression]:
    """The suppressions of one list or all, by address, a page in memory at a time."""
    last = None
    while True:
        with reading() as connection:
            page = _page(connection, list, last)
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]


def _page(
    connection: Connection, list: str | None, after: Suppression | None
) -> list[Suppression]:
    wanted = select(*_COLUMNS).order_by(*_COLUMNS[:2]).limit(PAGE)
    if list is not None:
        wanted = wanted.where(suppression.c.list == list)
    if after is not None:
        same = suppression.c.address == after.address
        later = suppression.c.address > after.address
        wanted = wanted.where(or_(later, same & (suppression.c.list > after.list)))
    return [_record(*row) for row in connection.execute(wanted)]


# Changing


def add_one(connection: Connection, one: Suppression) -> Suppression:
    """Keep ``one``, unless it is there; what is there then."""
    add(connection, [one])
    found = find(connection, [one.address])
    return next(kept for kept in found[one.address] if kept.list == one.list)


def add(connection: Connection, entries: Sequence[Suppression]) -> int:
    """Keep ``entries``; how many of them are new. One that is there stays as it is."""
    found = find(connection, [one.address for one in entries])
    there = {(one.address, one.list) for some in found.values() for one in some}
    new: dict[tuple[str, str], dict[str, Any]] = {}
    for one in entries:
        if (one.address, one.list) not in there:
            new.setdefault((one.address, one.list), _row(one))
    if new:
        connection.execute(suppression.insert(), [*new.values()])
    return len(new)


def _row(one: Suppression) -> dict[str, Any]:
    return {
        "address": one.address,
        "list": one.list,
        "reason": one.reason,
        "source": one.source,
        "added_at": one.added_at.timestamp(),
    }


def remove(
    connection: Connection, address: AddressLike, list: str, source: str | None
) -> bool:
    """Take ``address`` off ``list``; False where it is not on it.

    With ``source``, only where that has put it there.
    """
    wanted = delete(suppression).where(
        suppression.c.address == _mailbox(address), suppression.c.list == list
    )
    if source is not None:
        wanted = wanted.where(suppression.c.source == source)
    return connection.execute(wanted).rowcount == 1
