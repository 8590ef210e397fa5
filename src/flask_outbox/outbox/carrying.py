"""Carrying: all that belongs to messages, from one outbox into another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select

from ..delivery import State
from ..errors import MoveRefused
from . import attachments
from .departures import in_batch
from .enqueue import add_events, event_row
from .records import Batch
from .schema import attached, content, departure, event, message, recipient

PARTS = (content, attached, recipient, event)
"""The tables that hold what belongs to a message, beside its own."""

Values = dict[str, Any]

_WAITING = {State.PENDING, State.PAUSED}

_OPEN = {*_WAITING, State.UNKNOWN}
"""States from which a message may still go out by itself."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How many messages came to another outbox."""

    waiting: int = 0
    finished: int = 0
    cancelled: int = 0
    """How many of them do not go out, because the same key was handed over there."""

    def __add__(self, other: Carried) -> Carried:
        return Carried(
            self.waiting + other.waiting,
            self.finished + other.finished,
            self.cancelled + other.cancelled,
        )

    @property
    def messages(self) -> int:
        """All of them."""
        return self.waiting + self.finished


@dataclass(frozen=True, slots=True)
class Parcel:
    """The rows of a batch's messages, as they were before they departed."""

    messages: list[Values]
    parts: Mapping[Table, list[Values]]
    attachments: Mapping[str, bytes]

    @property
    def carried(self) -> Carried:
        """How many messages it holds."""
        waiting = sum(one["state"] in _WAITING for one in self.messages)
        return Carried(waiting, len(self.messages) - waiting)


def pack(connection: Connection, batch: Batch) -> Parcel:
    """Read all rows of a batch."""
    rows = connection.execute(
        select(message, departure.c.state.label("was"))
        .join(departure, departure.c.message_id == message.c.id)
        .where(in_batch(batch))
    ).mappings()
    messages = [{**row, "state": row["was"]} for row in rows]
    for one in messages:
        del one["was"]
    parts = {part: _rows_of(connection, part, batch) for part in PARTS}
    digests = sorted({row["digest"] for row in parts[attached]})
    return Parcel(messages, parts, attachments.contents_of(connection, digests))


def _rows_of(connection: Connection, part: Table, batch: Batch) -> list[Values]:
    rows = connection.execute(
        select(part)
        .join(departure, departure.c.message_id == part.c.message_id)
        .where(in_batch(batch))
        .order_by(*part.primary_key)
    ).mappings()
    return [{name: row[name] for name in row if name != "id"} for row in rows]


def unpack(
    connection: Connection, parcel: Parcel, came_from: str, now: float
) -> Carried:
    """Write the rows of ``parcel``, and into each story that it moved.

    A message that is here already stays as it is. Where the same key was handed over
    here, that message keeps it, and one of the parcel's that may still go out is
    cancelled: nobody gets the mail twice.
    """
    here = _states_here(connection, [one["id"] for one in parcel.messages])
    messages = [one for one in parcel.messages if one["id"] not in here]
    taken = _keys_here(connection, [one["key"] for one in messages])
    called_off = {
        one["id"]: taken[one["key"]]
        for one in messages
        if one["key"] in taken and one["state"] in _OPEN
    }
    _insert(connection, message, [_arrived(one, taken, now) for one in messages])
    attachments.add(connection, parcel.attachments)
    for part, rows in parcel.parts.items():
        kept = [row for row in rows if row["message_id"] not in here]
        if part is recipient:
            kept = [
                _called_off(row) if row["message_id"] in called_off else row
                for row in kept
            ]
        _insert(connection, part, kept)
    _tell(connection, messages, called_off, came_from, now)
    return Carried(cancelled=len(called_off))


def _states_here(connection: Connection, ids: list[str]) -> Mapping[str, str]:
    found = select(*message.c["id", "state"]).where(message.c.id.in_(ids))
    here = {row.id: row.state for row in connection.execute(found)}
    if State.MOVING in here.values():
        raise MoveRefused(
            "Messages are on their way back at this moment: two outboxes cannot be "
            "moved into each other. End one of the moves."
        )
    return here


def _keys_here(connection: Connection, keys: Iterable[str | None]) -> dict[str, str]:
    given = [key for key in keys if key is not None]
    found = select(*message.c["key", "id"]).where(message.c.key.in_(given))
    return {row.key: row.id for row in connection.execute(found)}


def _arrived(one: Values, taken: Mapping[str, str], now: float) -> Values:
    if one["key"] not in taken:
        return one
    if one["state"] not in _OPEN:
        return {**one, "key": None}
    return {**one, "key": None, "state": State.CANCELLED.value, "finished_at": now}


def _called_off(row: Values) -> Values:
    return {**row, "state": State.CANCELLED.value} if row["state"] in _OPEN else row


def _insert(connection: Connection, table: Table, rows: list[Values]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _tell(
    connection: Connection,
    messages: list[Values],
    called_off: Mapping[str, str],
    came_from: str,
    now: float,
) -> None:
    moved = [
        event_row(one["id"], now, "moved", came_from=came_from) for one in messages
    ]
    ended = [
        event_row(one, now, "cancelled", in_favour_of=other)
        for one, other in called_off.items()
    ]
    add_events.run_many(connection, moved + ended)
