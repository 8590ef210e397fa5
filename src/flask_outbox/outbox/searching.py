"""Searching: the messages that fit, newest first, a limited look at a time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, true

from ..delivery import KEPT_HERE, State
from ..errors import AddressError
from ..message import Address
from .asking import moment, summaries_of
from .ids import HIGHEST, ID_LENGTH, LOWEST, id_at, is_id, time_of
from .schema import PENDING, message, recipient
from .searches import Page, Search
from .walking import Condition, Span, Strand, Walk, just_above, to_recipient

SEVERAL_ADDRESSES = 20
"""Up to so many addresses with one beginning are looked up each by itself. What more
begin with, a walk over all messages finds soon."""

_LAST_CHARACTER = "\U0010ffff"


def search(
    connection: Connection,
    wanted: Search,
    now: float,
    limit: int,
    before: str | None = None,
    after: str | None = None,
) -> Page:
    """The newest that fit, or those that come next below or above a page's border."""
    upwards = after is not None
    span = _span(connection, wanted)
    conditions = _conditions(wanted, now)
    strands, more = _strands(connection, wanted, span)
    walk = Walk(connection, strands, [*conditions, *more], upwards)
    found, last = walk.collect(span.within(after, before), limit + 1)
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


# ------------------------------------------------------------------------ in what span


def _span(connection: Connection, wanted: Search) -> Span:
    """The ids among which everything is that could fit."""
    span = Span().within(
        None if wanted.since is None else id_at(wanted.since.timestamp()),
        None if wanted.until is None else id_at(wanted.until.timestamp()),
    )
    for beginning in (wanted.id, _id_within(connection, wanted.message_id)):
        if beginning is not None:
            span = span.within(*_all_that_begin(beginning.upper()))
    return span


def _all_that_begin(beginning: str) -> tuple[str, str]:
    return (
        beginning.ljust(ID_LENGTH, LOWEST),
        just_above(beginning.ljust(ID_LENGTH, HIGHEST)),
    )


def _id_within(connection: Connection, message_id: str | None) -> str | None:
    """The id of the message with this Message-ID, where that was made from it."""
    if message_id is None:
        return None
    unique = message_id.strip("<> ").partition("@")[0]
    if not is_id(unique):
        return None
    return connection.scalar(
        select(message.c.id).where(
            message.c.id == unique, message.c.message_id == _bracketed(message_id)
        )
    )


def _bracketed(message_id: str) -> str:
    return f"<{message_id.strip('<> ')}>"


# ----------------------------------------------------------------------- what must hold


def _conditions(wanted: Search, now: float) -> list[Condition]:
    """What must hold of a message, whichever way it is found."""
    message_id = _bracketed(wanted.message_id or "")
    given: list[tuple[object, Condition]] = [
        (wanted.state, message.c.state == wanted.state),
        (wanted.lane, message.c.lane == wanted.lane),
        (wanted.tag, message.c.tag == wanted.tag),
        (wanted.batch, message.c.batch == wanted.batch),
        (wanted.message_id, message.c.message_id == message_id),
        (wanted.subject, _contains(wanted.subject or "")),
        (wanted.due, _is_due(now, due=bool(wanted.due))),
        (wanted.kept_here or None, _is_kept_here()),
    ]
    return [condition for value, condition in given if value is not None]


def _contains(part: str) -> Condition:
    return func.lower(message.c.subject).contains(part.lower(), autoescape=True)


def _is_due(now: float, *, due: bool) -> Condition:
    time_has_come = message.c.due_at <= now
    return and_(message.c.state == PENDING, time_has_come if due else ~time_has_come)


def _is_kept_here() -> Condition:
    own = recipient.alias()
    return exists().where(
        own.c.message_id == message.c.id, own.c.reply_text == KEPT_HERE.text
    )


# --------------------------------------------------------------------- by which index


def _strands(
    connection: Connection, wanted: Search, span: Span
) -> tuple[Sequence[Strand], list[Condition]]:
    """The shortest way to walk, and what it leaves to be asked of each message."""
    ways: list[Sequence[Strand]] = []
    states = _states(wanted)
    if len(states) == 1:
        ways.append([Strand((message.c.state == states[0],))])
    if wanted.tag is not None:
        ways.append([Strand((message.c.tag == wanted.tag,))])
    if wanted.batch is not None:
        batch = message.c.batch == wanted.batch
        ways.append([Strand((batch, message.c.state == one)) for one in states])
    to_them = _to_those_meant(connection, wanted.address)
    if to_them is not None:
        ways.append(to_them)
    if len(ways) > 1:
        ways.sort(key=lambda way: sum(one.length(connection, span) for one in way))
    way = ways[0] if ways else [Strand()]
    if wanted.address is None or way is to_them:
        return way, []
    return way, [_has_recipient(wanted.address)]


def _states(wanted: Search) -> Sequence[State | ColumnElement[str]]:
    """The states in which what fits may be."""
    if wanted.state is not None:
        return [wanted.state]
    return list(State) if wanted.due is None else [PENDING]


def _to_those_meant(
    connection: Connection, wanted: str | None
) -> Sequence[Strand] | None:
    """A strand for each address that is meant; None where these are too many."""
    if wanted is None:
        return None
    if not wanted.endswith("*"):
        return [to_recipient(_as_kept(wanted))]
    addresses = _addresses(connection, wanted)
    if len(addresses) > SEVERAL_ADDRESSES:
        return None
    return [to_recipient(one) for one in addresses]


def _addresses(connection: Connection, wanted: str) -> list[str]:
    """The addresses that are meant, as far as it is one too many: one seek each."""
    found: list[str] = []
    while len(found) <= SEVERAL_ADDRESSES:
        above = recipient.c.address > found[-1] if found else true()
        address = connection.scalar(
            select(func.min(recipient.c.address)).where(
                _is_meant(recipient.c.address, wanted), above
            )
        )
        if address is None:
            break
        found.append(address)
    return found


def _has_recipient(wanted: str) -> Condition:
    own = recipient.alias()
    return exists().where(
        own.c.message_id == message.c.id, _is_meant(own.c.address, wanted)
    )


def _is_meant(address: ColumnElement[str], wanted: str) -> Condition:
    """That ``address`` is ``wanted``, or begins as that does before a ``*``."""
    if not wanted.endswith("*"):
        return address == _as_kept(wanted)
    local, at, domain = wanted.removesuffix("*").partition("@")
    beginning = local + at + domain.lower()
    return and_(address >= beginning, address < beginning + _LAST_CHARACTER)


def _as_kept(address: str) -> str:
    try:
        return Address.parse(address, "address").spec
    except AddressError:
        return address
