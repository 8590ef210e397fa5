"""Received reports as rows: each is stored once, whoever repeats it, and is looked at
again until its message is found. Of a mailbox that they come to, it is stored how far
it was read.

What others say is foreign: it is cut and escaped so that every database stores it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, select, update
from sqlalchemy.engine import Row as TableRow

from ..delivery import storable
from ..errors import AddressError
from ..feedback import Fate, Feedback
from ..feedback.provider import OneTimeToken
from ..message import Address, comparable
from ..message.addresses import ADDRESS_OCTETS
from .ids import id_at, is_id, new_id
from .records import MailboxCursor
from .schema import feedback, mailbox, pardon
from .sealed import query
from .statements import Row, RowsInsert, RowsUpdate, run_together

LOOK_AFTER_SECONDS = 5.0
"""How soon the message of a report is looked for again; each time after twice as long,
because the events of another app may come to the same address and never match."""

LOOK_FOR_SECONDS = 3 * 86_400.0
"""How long the message of a report is looked for."""

ASKED_AT_ONCE = 500
"""The most rows that one statement names."""

DETAIL_LENGTH = 8_000
"""The longest detail of a report, as JSON; of a longer one only `TOLD` is kept."""

TOLD = ("url", "user_agent", "list")
"""What histories tell of a report's detail."""


@dataclass(frozen=True, slots=True)
class Received:
    """One report as it is stored."""

    id: str
    source: str
    event_id: str
    received_at: float
    at: float
    fate: Fate
    address: str | None
    named_id: str | None
    provider_id: str | None
    rfc_message_id: str | None
    operator: bool
    words: str | None
    detail: Mapping[str, Any]

    @classmethod
    def of(cls, report: Feedback, now: float) -> Received:
        """The report as it is stored, received ``now``."""
        named_id = (report.message_id or "").upper()
        return cls(
            id=id_at(now)[:10] + new_id()[10:],
            source=_key(report.source, 64),
            event_id=_key(report.event_id, 255),
            received_at=now,
            at=_epoch(report.at),
            fate=report.fate,
            address=_address(report.address),
            named_id=named_id if is_id(named_id) else None,
            provider_id=_key(report.provider_id, 255) if report.provider_id else None,
            rfc_message_id=_rfc_message_id(report.rfc_message_id),
            operator=report.operator,
            words=storable(str(report.reply)) if report.reply else None,
            detail=_detail(report.detail),
        )

    @classmethod
    def read(cls, row: TableRow[Any]) -> Received:
        """The report that a row holds."""
        return cls(
            row.id,
            row.source,
            row.event_id,
            row.received_at,
            row.at,
            Fate(row.fate),
            row.address,
            row.named_id,
            row.provider_id,
            row.rfc_message_id,
            bool(row.operator),
            row.words,
            json.loads(row.detail) if row.detail else {},
        )

    @property
    def key(self) -> tuple[str, str]:
        """The same for each repetition of the report, and for no other."""
        return self.source, self.event_id

    @property
    def told(self) -> dict[str, Any]:
        """What a history tells of it, beside whom it concerns."""
        said = {"words": self.words, "operator": self.operator or None}
        said |= {name: self.detail.get(name) for name in TOLD}
        return {
            "source": self.source,
            **{name: value for name, value in said.items() if value is not None},
        }


def _key(text: str, length: int) -> str:
    """``text``, or its digest where it is too long or cannot be printed."""
    if len(text) <= length and text.isprintable():
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:length]


LATEST = 253_402_300_000.0
"""Just before the year 10000."""


def _epoch(at: datetime) -> float:
    try:
        return min(max(at.timestamp(), 0.0), LATEST)
    except (OverflowError, ValueError):
        return 0.0


def _address(address: str | None) -> str | None:
    if not address:
        return None
    try:
        address = Address.parse(address, "address").spec
    except AddressError:
        address = address.strip()
    found = comparable(address)
    is_one = found.isprintable() and len(found.encode()) <= ADDRESS_OCTETS
    return found if is_one else ""


def _rfc_message_id(given: str | None) -> str | None:
    bare = (given or "").strip("<> \t\r\n")
    return f"<{bare}>" if bare.isprintable() and 0 < len(bare) < 990 else None


def _detail(given: Mapping[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = _plain(given)
    if len(json.dumps(detail)) <= DETAIL_LENGTH:
        return detail
    return {name: detail[name] for name in TOLD if isinstance(detail.get(name), str)}


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it, with texts that every database can."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {storable(str(name)): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return storable(str(value))


# Storing

_insert = RowsInsert(
    feedback,
    *("id", "source", "event_id", "received_at", "at", "fate", "address", "named_id"),
    *("provider_id", "rfc_message_id", "operator", "words", "detail", "look_at"),
    skip_present=True,
)
_copy = RowsInsert(feedback, *feedback.columns.keys(), skip_present=True)


def copy(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store rows of another outbox, but for reports that are here."""
    names = feedback.columns.keys()
    tuples = [tuple(row[name] for name in names) for row in rows]
    run_together(connection, _copy.statements(connection, tuples))


def store(connection: Connection, reports: Sequence[Received]) -> set[str]:
    """Store ``reports``, each with a key of its own; the ids of those that are new.

    Another receiver may store the same at once: to one of the two they are not new.
    """
    rows = [_row(one) for one in sorted(reports, key=lambda one: one.key)]
    run_together(connection, _insert.statements(connection, rows))
    return {
        id
        for some in in_parts([one.id for one in reports])
        for id in connection.scalars(
            select(feedback.c.id).where(
                feedback.c.id.in_(some), feedback.c.message_id.is_(None)
            )
        )
    }


def _row(one: Received) -> tuple[Any, ...]:
    return (
        *(one.id, one.source, one.event_id, one.received_at, one.at, one.fate.value),
        *(one.address, one.named_id, one.provider_id, one.rfc_message_id),
        *(int(one.operator), one.words),
        json.dumps(one.detail) if one.detail else None,
        one.received_at + LOOK_AFTER_SECONDS,
    )


_USED = "token"
"""In place of a fate where a row is no report, but a token that was used."""


def use_token(connection: Connection, token: OneTimeToken, now: float) -> bool:
    """Store that a request with this token was received; False if another one was."""
    event_id = _key(f"{_USED}:{token.token}", 255)
    row = (
        *(id_at(now)[:10] + new_id()[10:], _key(token.source, 64), event_id),
        *(now, now, _USED, None, None, None, None, 0, token.digest, None, None),
    )
    run_together(connection, _insert.statements(connection, [row]))
    used = query(
        connection,
        select(*feedback.c["id", "words"]).where(
            feedback.c.source == token.source, feedback.c.event_id == event_id
        ),
    ).first()
    return used is not None and bool(used.words == token.digest)


def in_parts(values: Iterable[str]) -> list[list[str]]:
    """``values``, each once and in order, as many at a time as one statement names."""
    wanted = sorted(set(values))
    return [
        wanted[start : start + ASKED_AT_ONCE]
        for start in range(0, len(wanted), ASKED_AT_ONCE)
    ]


# Settling

_settle = RowsUpdate(
    feedback, keys=("id",), values=("message_id", "address", "look_at")
)


def settled_row(one: Received, message_id: str, addresses: Sequence[str]) -> Row:
    """The row of a report that was applied to these recipients, for `settle`."""
    address = addresses[0] if len(addresses) == 1 else one.address
    return {
        "id": one.id,
        "message_id": message_id,
        "address": None if address is None else comparable(address),
        "look_at": None,
    }


def kept_row(one: Received, look_at: float | None) -> Row:
    """The row of a report that changes nothing, for `settle`."""
    return {
        "id": one.id,
        "message_id": None,
        "address": one.address,
        "look_at": look_at,
    }


def next_look(one: Received, now: float) -> float | None:
    """When to look again for the message of a report; None to give it up."""
    age_seconds = now - one.received_at
    if age_seconds >= LOOK_FOR_SECONDS:
        return None
    return now + max(age_seconds, LOOK_AFTER_SECONDS)


def settle(connection: Connection, rows: Sequence[Row]) -> None:
    """Store what became of reports."""
    _settle.run(connection, rows)


def forget(connection: Connection, reports: Iterable[Received]) -> None:
    """Delete reports that must not be kept."""
    for some in in_parts(one.id for one in reports):
        connection.execute(delete(feedback).where(feedback.c.id.in_(some)))


# Looking again


def anything_to_match(connection: Connection, now: float) -> bool:
    """Whether the message of any report is to be looked for now."""
    wanted = select(feedback.c.id).where(feedback.c.look_at <= now)
    return bool(connection.scalar(select(exists(wanted))))


def to_match(connection: Connection, now: float, limit: int) -> list[Received]:
    """The next reports whose message is to be looked for, locked."""
    rows = query(
        connection,
        select(feedback)
        .where(feedback.c.look_at <= now)
        .order_by(feedback.c.look_at)
        .limit(limit)
        .with_for_update(skip_locked=True),
    )
    return [Received.read(row) for row in rows]


# Pruning


def delete_old(connection: Connection, before: float) -> int:
    """Delete reports that were received ``before``, and pardons of that age; how many
    reports.
    """
    old = connection.scalars(
        select(feedback.c.id)
        .where(feedback.c.id < id_at(before))
        .order_by(feedback.c.id)
        .limit(ASKED_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    if old:
        connection.execute(delete(feedback).where(feedback.c.id.in_(old)))
    else:
        connection.execute(delete(pardon).where(pardon.c.at < before))
    return len(old)


def read_cursor(connection: Connection, name: str) -> MailboxCursor | None:
    """How far a mailbox was read, so that a restart reads each mail once; None if none
    of it was.
    """
    row = connection.execute(
        select(*mailbox.c["uid_validity", "uid"]).where(mailbox.c.name == name)
    ).first()
    return MailboxCursor._make(row) if row else None


def write_cursor(connection: Connection, name: str, cursor: MailboxCursor) -> None:
    """Note how far a mailbox was read."""
    values = cursor._asdict()
    known = connection.execute(
        update(mailbox).where(mailbox.c.name == name).values(**values)
    )
    if known.rowcount == 0 and read_cursor(connection, name) is None:
        connection.execute(mailbox.insert().values(name=name, **values))
