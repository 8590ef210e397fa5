"""The suppression list: addresses that must not be mailed, for all mail or one tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    String,
    bindparam,
    delete,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
    update,
)

from ..delivery import Reply, storable
from ..erased_address import PREFIX, ErasedAddresses, is_digest
from ..errors import MessageError
from ..message import Address, AddressLike, check_label, comparable
from ..recipient_guard import Guard
from .ids import ID_LENGTH, LOWEST, is_id
from .read import moment
from .received import LATEST
from .records import Suppression
from .schema import pardon, suppression
from .sealed import SealedColumns, all_forms, insert_sealed, keys_of, same
from .statements import PreparedStatement, RowsInsert, Statement, run_together

EVERYTHING = ""
"""The list for mail of every tag. Any other list is named after the tag it bars."""

SOURCES = (
    "person", "api", "import", "unsubscribe", "bounce", "complaint", "refusal",
    "provider",
)  # fmt: skip
"""Where a suppression may come from."""

ASKED_AT_ONCE = 512
"""The most addresses that one statement looks up."""

DIGESTS = PREFIX
"""The address of a row that is on no list: where it is there, some rows have digests of
erased addresses. So asking for it beside others tells whether these must be digested.
"""

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
        raise MessageError("source", f"{source!r} is not one of {', '.join(SOURCES)}.")
    _check_evidence(evidence or {})
    return Suppression(
        on_the_list(address), list, storable(reason), source, moment(added_at), evidence
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


def on_the_list(address: AddressLike) -> str:
    """What stands on the list: the comparable address, or a digest as it is."""
    if isinstance(address, str) and is_digest(address):
        return address
    return comparable(Address.parse(address, "address").spec)


# Reading


def find(
    connection: Connection, addresses: Iterable[str], erased: ErasedAddresses
) -> Found:
    """The suppressions of ``addresses``, on all lists.

    Those of erased addresses name these by their digests.
    """
    wanted = [*addresses]
    asking = queries(connection, wanted, erased)
    return found_in(connection, run_together(connection, asking), wanted, erased)


def queries(
    connection: Connection, addresses: Iterable[str], erased: ErasedAddresses
) -> list[Statement]:
    """The statements that ask for the suppressions of ``addresses``."""
    statements = []
    mailboxes = {*map(comparable, addresses)}
    if erased.exist:
        mailboxes = mailboxes.union(*map(erased.digests, mailboxes))
    wanted = sorted(mailboxes)
    if keys_of(connection) is not None:
        wanted = all_forms(connection, suppression.c.address, wanted)
    may_be_first = bool(erased.keys) and not erased.exist
    for start in range(0, len(wanted), ASKED_AT_ONCE):
        some = wanted[start : start + ASKED_AT_ONCE]
        places = 1 << (len(some) - 1).bit_length()
        some += some[-1:] * (places - len(some))
        asked = _query_for(places, or_for_digests=may_be_first)
        statements.append(asked.asking(connection.dialect, some))
    return statements


def found_in(
    connection: Connection,
    answers: Iterable[Iterable[Sequence[Any]]],
    addresses: Sequence[str],
    erased: ErasedAddresses,
) -> Found:
    """The suppressions in the answers to `queries`.

    Asks again if they say, for the first time, that there are digests.
    """
    keys = keys_of(connection)
    rows = [one for some in answers for one in some]
    if keys is not None:
        rows = [_SEALED.open_what_can_be(keys, row) for row in rows]
    if any(one[0] == DIGESTS for one in rows):
        erased.exist = True
        return find(connection, addresses, erased)
    found: dict[str, list[Suppression]] = {}
    own = _by_digest(rows, addresses, erased)
    for one in rows:
        found.setdefault(own.get(one[0], one[0]), []).append(_record(*one))
    for some in found.values():
        some.sort(key=lambda one: one.list)
    return found


def _by_digest(
    rows: Iterable[Sequence[Any]], addresses: Iterable[str], erased: ErasedAddresses
) -> Mapping[str, str]:
    """Digest → the address that it is of, if any of ``rows`` has a digest."""
    if not any(is_digest(one[0]) for one in rows):
        return {}
    return {
        digest: address
        for address in map(comparable, addresses)
        for digest in erased.digests(address)
    }


@lru_cache
def _query_for(places: int, *, or_for_digests: bool) -> PreparedStatement:
    """The query for ``places`` addresses: a power of two, so that few are compiled.

    With ``or_for_digests`` it also asks whether there are any: by a query of its own,
    since that costs SQLite a tenth of what another address costs.
    """
    wanted = (bindparam(f"a{place}", type_=String) for place in range(places))
    query = select(*_COLUMNS).where(suppression.c.address.in_([*wanted]))
    if not or_for_digests:
        return PreparedStatement(query)
    digests = select(*_COLUMNS).where(suppression.c.address == _DIGESTS)
    return PreparedStatement(union_all(query, digests))


_DIGESTS: ColumnElement[str] = literal_column(f"'{DIGESTS}'")

_COLUMNS = suppression.c["address", "list", "reason", "source", "added_at", "evidence"]
_SEALED = SealedColumns([*_COLUMNS])


def _record(*row: Any) -> Suppression:
    address, list, reason, source, added_at, evidence = row
    said = json.loads(evidence) if evidence else None
    return Suppression(address, list, reason, source, moment(added_at), said)


def count_unknown_digests(connection: Connection, erased: ErasedAddresses) -> int:
    """How many entries have a digest that was made with a key ``erased`` lacks."""
    address = suppression.c.address
    exist = select(address).where(address == DIGESTS)
    if connection.scalar(exist) is None:
        return 0
    digests = select(func.count()).where(address.like(f"{PREFIX}_%"))
    known = (address.like(f"{one}%") for one in erased.beginnings)
    return connection.scalar(digests.where(not_(or_(false(), *known)))) or 0


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


def keeping_from(
    connection: Connection, address: str, tag: str, erased: ErasedAddresses
) -> Suppression | None:
    """The suppression that bars mail with ``tag`` to ``address``, if any.

    One for all mail comes before one for that tag.
    """
    found = find(connection, [address], erased).get(comparable(address), ())
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
    anywhere for None, ordered by address if that is not encrypted.

    Holds one page of them in memory at a time.
    """
    last = None
    while True:
        with reading() as connection:
            rows = _page(connection, list, source, last)
            keys = keys_of(connection)
        for row in rows:
            yield _record(
                *(row if keys is None else _SEALED.open_what_can_be(keys, row))
            )
        if len(rows) < PAGE:
            return
        last = rows[-1]


def _page(
    connection: Connection,
    list: str | None,
    source: str | None,
    after: Row[Any] | None,
) -> Sequence[Row[Any]]:
    """The next rows as they are stored."""
    listed = select(*_COLUMNS).where(suppression.c.address != DIGESTS)
    wanted = listed.order_by(*_COLUMNS[:2]).limit(PAGE)
    if list is not None:
        wanted = wanted.where(suppression.c.list == list)
    if source is not None:
        wanted = wanted.where(suppression.c.source == source)
    if after is not None:
        here = suppression.c.address == after.address
        later = suppression.c.address > after.address
        wanted = wanted.where(or_(later, here & (suppression.c.list > after.list)))
    return connection.execute(wanted).all()


# Changing


def add_one(
    connection: Connection, one: Suppression, erased: ErasedAddresses
) -> Suppression:
    """Store ``one`` unless its address is on that list; return the stored one."""
    add(connection, [one], erased)
    found = find(connection, [one.address], erased)
    return next(kept for kept in found[one.address] if kept.list == one.list)


def add(
    connection: Connection, entries: Sequence[Suppression], erased: ErasedAddresses
) -> int:
    """Store ``entries`` and return how many are new. Existing ones stay unchanged."""
    return len(add_new(connection, entries, erased))


def add_new(
    connection: Connection, entries: Sequence[Suppression], erased: ErasedAddresses
) -> list[Suppression]:
    """Store ``entries`` and return those that are new. Existing ones stay unchanged."""
    new = absent(connection, entries, erased)
    if new:
        rows = sorted(map(_row, new), key=lambda row: (row["address"], row["list"]))
        insert_sealed(connection, suppression, *rows)
    if any(is_digest(one.address) for one in new):
        _note_digests(connection)
    return new


_note = RowsInsert(suppression, *suppression.columns.keys(), skip_present=True)


def _note_digests(connection: Connection) -> None:
    """Note that there are digests, for all who look from now on."""
    row = (DIGESTS, EVERYTHING, "", "", 0.0, None)
    run_together(connection, _note.statements(connection, [row]))


def absent(
    connection: Connection, entries: Sequence[Suppression], erased: ErasedAddresses
) -> list[Suppression]:
    """Those of ``entries`` whose address is not on their list yet, each once."""
    found = find(connection, [one.address for one in entries], erased)
    there = {(address, one.list) for address, some in found.items() for one in some}
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
    erased: ErasedAddresses,
) -> bool:
    """Take ``address`` off ``list``; False if it was not on it.

    With ``source``, only if the suppression came from there. What was reported before
    does not bring it back. Of an erased address nothing is kept that was reported, and
    so nothing is noted here.
    """
    mailbox = on_the_list(address)
    there = find(connection, [mailbox], erased).get(mailbox, ())
    ours = [
        one.address
        for one in there
        if one.list == list and source in (None, one.source)
    ]
    wanted = delete(suppression).where(
        suppression.c.address.in_(all_forms(connection, suppression.c.address, ours)),
        suppression.c.list == list,
    )
    if not ours or not connection.execute(wanted).rowcount:
        return False
    if mailbox in ours and not is_digest(mailbox):
        write_pardons(connection, [{"address": mailbox, "list": list, "at": now}])
    return True


def write_pardons(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note when addresses were taken off lists, unless a later time is noted."""
    for row in rows:
        address = same(connection, pardon.c.address, row["address"])
        place = address, pardon.c.list == row["list"]
        known = connection.scalar(select(pardon.c.at).where(*place))
        if known is None:
            insert_sealed(connection, pardon, row)
        elif known < row["at"]:
            connection.execute(update(pardon).where(*place).values(at=row["at"]))
