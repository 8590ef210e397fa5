"""Exports a chunk's messages with all their rows, and imports them elsewhere.

The outbox that messages leave records their departure: until they have arrived, no
courier and no person can touch them. The other outbox records which chunks arrived, so
that none is imported twice, even if its messages are deleted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, delete, select, update

from ...delivery import State
from ...errors import MoveRefused
from ...events import EventKind
from .. import attachments
from ..enqueue import add_events, event_row
from ..records import TransferChunk
from ..schema import (
    PENDING,
    arrival,
    attached,
    content,
    departure,
    event,
    message,
    provider_id,
    recipient,
)
from ..sealed import all_forms, insert_sealed, query
from ..sensitive import remove_contents
from ..states import FINISHED, transition
from ..webhook_feed import step_back

CHUNK_MESSAGES = 200
"""The most messages in a chunk, so that others wait only briefly for the write lock."""

CHUNK_BYTES = 8_000_000
"""The most bytes of content in a chunk; a larger message departs alone."""


def depart(
    connection: Connection, move: str, number: int, heading_to: str, now: float
) -> None:
    """Mark the next chunk of messages as departed.

    Waiting messages come first, then finished ones. Of these the newest come first,
    since people look them up most. A leased message stays until its courier has
    recorded the attempt.
    """
    leaving = (
        _next(connection, _WAITING_ROWS)
        or _next(connection, _PAUSED)
        or _next(connection, _FINISHED)
    )
    if leaving:
        connection.execute(
            departure.insert(),
            [
                {
                    "message_id": row.id,
                    "move": move,
                    "chunk": number,
                    "state": row.state,
                    "heading_to": heading_to,
                    "departed_at": now,
                }
                for row in leaving
            ],
        )
        _set_moving(connection, [row.id for row in leaving])


_LEAVING = (
    select(*message.c["id", "state", "size_bytes"])
    .limit(CHUNK_MESSAGES)
    .with_for_update(skip_locked=True)
)
_WAITING_ROWS = _LEAVING.where(message.c.state == PENDING).order_by(message.c.id)
_PAUSED = _LEAVING.where(message.c.state == State.PAUSED.value).order_by(message.c.id)
_FINISHED = _LEAVING.where(
    message.c.finished_at.is_not(None), message.c.state != State.MOVING.value
).order_by(message.c.finished_at.desc())


def _next(connection: Connection, wanted: Select[Any]) -> list[Row[Any]]:
    return list(_fitting(connection.execute(wanted).all()))


def _fitting(rows: Iterable[Row[Any]]) -> Iterator[Row[Any]]:
    """The first of ``rows`` that fit into a chunk: at least one, if there is any."""
    size_bytes = 0
    for row in rows:
        size_bytes += row.size_bytes
        if size_bytes > max(CHUNK_BYTES, row.size_bytes):
            return
        yield row


MOVABLE = FINISHED | {State.PENDING, State.PAUSED}


def _set_moving(connection: Connection, ids: list[str]) -> None:
    connection.execute(
        transition(MOVABLE, State.MOVING, lease_owner=None).where(message.c.id.in_(ids))
    )


def delete_departed(connection: Connection, chunk: TransferChunk) -> None:
    """Delete the messages of a chunk that has arrived."""
    ids = [row.message_id for row in _departed(connection, chunk)]
    connection.execute(delete(message).where(message.c.id.in_(ids)))
    step_back(connection)


def restore_departed(connection: Connection, chunk: TransferChunk, now: float) -> None:
    """Give the messages of a chunk that will never arrive their former state."""
    departed = _departed(connection, chunk)
    for state in {row.state for row in departed}:
        ids = [row.message_id for row in departed if row.state == state]
        connection.execute(
            transition({State.MOVING}, State(state)).where(message.c.id.in_(ids))
        )
        connection.execute(delete(departure).where(departure.c.message_id.in_(ids)))
        add_events.run_many(
            connection,
            [
                event_row(one, now, EventKind.STAYED, heading_to=chunk.heading_to)
                for one in ids
            ],
        )


def _departed(connection: Connection, chunk: TransferChunk) -> list[Row[Any]]:
    wanted = select(*departure.c["message_id", "state"]).where(in_chunk(chunk))
    return list(connection.execute(wanted.with_for_update()))


def in_chunk(chunk: TransferChunk) -> Any:
    """The condition that a departure belongs to ``chunk``."""
    return (departure.c.move == chunk.move) & (departure.c.chunk == chunk.number)


def expect(connection: Connection, move: str, came_from: str, now: float) -> None:
    """Record a move to this outbox, before the first chunk departs."""
    connection.execute(
        arrival.insert().values(move=move, chunk=0, came_from=came_from, begun_at=now)
    )


def is_expected(connection: Connection, move: str) -> bool:
    """Whether a move to this outbox was recorded, and neither ended nor abandoned."""
    wanted = select(arrival.c.move).where(arrival.c.move == move)
    return connection.scalar(wanted) is not None


def has_arrived(connection: Connection, chunk: TransferChunk) -> bool:
    """Whether a chunk has arrived."""
    last = connection.scalar(
        select(arrival.c.chunk).where(arrival.c.move == chunk.move)
    )
    return last is not None and last >= chunk.number


def record_arrival(connection: Connection, chunk: TransferChunk) -> bool:
    """Record that a chunk arrives; False if it has arrived before, or is refused."""
    taken = connection.execute(
        update(arrival)
        .where(arrival.c.move == chunk.move, arrival.c.chunk < chunk.number)
        .values(chunk=chunk.number)
    )
    return taken.rowcount == 1


def refuse_arrival(connection: Connection, chunk: TransferChunk) -> bool:
    """Refuse a chunk for good; False if it has arrived already."""
    connection.execute(
        delete(arrival).where(
            arrival.c.move == chunk.move, arrival.c.chunk < chunk.number
        )
    )
    return not has_arrived(connection, chunk)


def forget(connection: Connection, move: str) -> None:
    """Delete the record of a move that has no chunk under way."""
    connection.execute(delete(arrival).where(arrival.c.move == move))


PARTS = (content, attached, recipient, provider_id, event)
"""The tables, besides ``message``, that hold rows of a message."""

Values = dict[str, Any]

_WAITING = {State.PENDING, State.PAUSED}

_OPEN = {*_WAITING, State.UNKNOWN}
"""States from which a message may still be sent."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How many messages were moved to another outbox."""

    waiting: int = 0
    finished: int = 0
    cancelled: int = 0
    """How many of them were cancelled, because a message there has the same key."""

    def __add__(self, other: Carried) -> Carried:
        return Carried(
            self.waiting + other.waiting,
            self.finished + other.finished,
            self.cancelled + other.cancelled,
        )

    @property
    def messages(self) -> int:
        """The sum of waiting and finished."""
        return self.waiting + self.finished


@dataclass(frozen=True, slots=True)
class ExportedRows:
    """The rows of a chunk's messages, as they were before they departed."""

    messages: list[Values]
    parts: Mapping[Table, list[Values]]
    attachments: Mapping[str, bytes]

    @property
    def carried(self) -> Carried:
        """How many messages are exported."""
        waiting = sum(one["state"] in _WAITING for one in self.messages)
        return Carried(waiting, len(self.messages) - waiting)


def export_rows(connection: Connection, chunk: TransferChunk) -> ExportedRows:
    """Read all rows of a chunk."""
    rows = query(
        connection,
        select(message, departure.c.state.label("was"))
        .join(departure, departure.c.message_id == message.c.id)
        .where(in_chunk(chunk)),
        exactly=True,
    ).mappings()
    messages = [{**row, "state": row["was"]} for row in rows]
    for one in messages:
        del one["was"]
    parts = {part: _rows_of(connection, part, chunk) for part in PARTS}
    digests = sorted({row["digest"] for row in parts[attached]})
    return ExportedRows(messages, parts, attachments.contents_of(connection, digests))


def _rows_of(connection: Connection, part: Table, chunk: TransferChunk) -> list[Values]:
    rows = query(
        connection,
        select(part)
        .join(departure, departure.c.message_id == part.c.message_id)
        .where(in_chunk(chunk))
        .order_by(*part.primary_key),
        exactly=True,
    ).mappings()
    return [{name: row[name] for name in row if name != "id"} for row in rows]


def import_rows(
    connection: Connection, exported: ExportedRows, came_from: str, now: float
) -> Carried:
    """Store the rows of ``exported``, and record in each history that it moved.

    A message that is here already stays unchanged. If a message here has the key of
    an exported one, it keeps the key; the exported one loses it, and is cancelled if
    it could still be sent. So nobody gets the mail twice.
    """
    here = _states_here(connection, [one["id"] for one in exported.messages])
    messages = [one for one in exported.messages if one["id"] not in here]
    taken = _keys_here(connection, [one["key"] for one in messages])
    duplicates = {
        one["id"]: taken[one["key"]]
        for one in messages
        if one["key"] in taken and one["state"] in _OPEN
    }
    arrived = [_arrived(one, taken, now) for one in messages]
    insert_sealed(connection, message, *arrived)
    digests = {
        name: attachments.digest_of(connection, content)
        for name, content in exported.attachments.items()
    }
    attachments.add(
        connection,
        {digests[name]: content for name, content in exported.attachments.items()},
    )
    for part, rows in exported.parts.items():
        kept = [row for row in rows if row["message_id"] not in here]
        if part is recipient:
            kept = [
                _cancelled_recipient(row) if row["message_id"] in duplicates else row
                for row in kept
            ]
        if part is attached:
            kept = [{**row, "digest": digests[row["digest"]]} for row in kept]
        insert_sealed(connection, part, *kept)
    remove_contents(connection, duplicates)
    _add_events(connection, messages, duplicates, came_from, now)
    return Carried(cancelled=len(duplicates))


def _states_here(connection: Connection, ids: list[str]) -> Mapping[str, str]:
    found = select(*message.c["id", "state"]).where(message.c.id.in_(ids))
    here = {row.id: row.state for row in connection.execute(found)}
    if State.MOVING in here.values():
        raise MoveRefused(
            "Messages are being moved in the opposite direction: two outboxes cannot "
            "be moved into each other. Stop one of the moves.",
            anchor="both-ways",
        )
    return here


def _keys_here(connection: Connection, keys: Iterable[str | None]) -> dict[str, str]:
    given = [key for key in keys if key is not None]
    stored = all_forms(connection, message.c.key, given)
    found = select(*message.c["key", "id"]).where(message.c.key.in_(stored))
    return {row.key: row.id for row in query(connection, found)}


def _arrived(one: Values, taken: Mapping[str, str], now: float) -> Values:
    if one["key"] not in taken:
        return one
    if one["state"] not in _OPEN:
        return {**one, "key": None}
    return {**one, "key": None, "state": State.CANCELLED.value, "finished_at": now}


def _cancelled_recipient(row: Values) -> Values:
    return {**row, "state": State.CANCELLED.value} if row["state"] in _OPEN else row


def _add_events(
    connection: Connection,
    messages: list[Values],
    duplicates: Mapping[str, str],
    came_from: str,
    now: float,
) -> None:
    moved = [
        event_row(one["id"], now, EventKind.MOVED, came_from=came_from)
        for one in messages
    ]
    ended = [
        event_row(one, now, EventKind.CANCELLED, in_favour_of=other)
        for one, other in duplicates.items()
    ]
    add_events.run_many(connection, moved + ended)
