"""Writes the results of attempts to the outbox, in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import (
    Collection,
    Coroutine,
    Sequence,
    Set,
)
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, Self

from .. import signals
from ..delivery import State
from ..errors import MessageError, StoreError
from ..events import ATTEMPT_ENDS
from ..message import comparable
from ..outbox import (
    Began,
    Fault,
    Outbox,
    Record,
    Rendition,
    Row,
    concerns_all,
    fault_of,
)
from ..outbox.records import Claim, Recorded, suppressed_announcement
from ..trace_context import trace_fields
from .attempt import bare_record, end_payload, shortened_record
from .context import CourierServices

NOTE_WAIT_SECONDS = 0.05
"""How long a note, or the beginning of an attempt, may wait. That is soon enough for
people, and most attempts end within it, so that one event says both."""

BATCH_WAIT_SECONDS = 0.02
"""How long the end of an attempt may wait for others while more messages are in work.
Nobody waits for this one, and a crash doubles no more mail than leaves in that
time."""

RETRY_WAIT_SECONDS = 1.0
"""How often an outbox that is out of reach is retried."""

TRIES = 3
"""How often a write that a working database refuses is tried: the connection may have
been lost, or another transaction may have held a lock."""

LONG_WAIT_SECONDS = 30.0
"""How long to wait before retrying a record that is refused in every form."""

SAY_SECONDS = 300.0
"""How often the log says that the same record is still not written."""

SHORTER = (("shortened", shortened_record), ("without its replies", bare_record))
"""The forms in which a refused record is written, and how the log calls them. Each is
tried where the one before is refused."""

CLOSES = (
    "the database closes the connection over which it comes, so it may be larger than "
    "the server's max_allowed_packet (MariaDB, MySQL)"
)
"""What is likely where always the same entry loses its connection."""

_log = logging.getLogger("flask_outbox")


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """An event that changes no state."""

    row: Row


@dataclass(frozen=True, slots=True, eq=False)
class RenditionEntry:
    """A rendition, and the future of the task that waits for it to be stored."""

    rendition: Rendition
    stored: asyncio.Future[bool | MessageError]

    @property
    def claim(self) -> Claim:
        """The claim of the message that was rendered."""
        return self.rendition.claim


Entry = Record | Began | Note | RenditionEntry


def _log_fields(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Note):
        return {"message_id": entry.row["message_id"]}
    return entry.claim.log_fields


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that are written together, by their kinds."""

    records: list[Record] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)
    begun: list[Began] = field(default_factory=list)
    rendered: list[RenditionEntry] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Sort ``entries`` by their kinds."""
        batch = cls()
        for one in entries:
            match one:
                case Record():
                    batch.records.append(one)
                case Began():
                    batch.begun.append(one)
                case Note():
                    batch.notes.append(one.row)
                case RenditionEntry():
                    batch.rendered.append(one)
        return batch


@dataclass(slots=True)
class Refused:
    """An entry that the database refused, and how often in this form."""

    entry: Entry
    tries: int = 1
    form: int = 0
    """How many of `SHORTER` were tried."""
    said_at: float = -inf


class RecordServices(CourierServices, Protocol):
    """What the recorder asks of its courier."""

    def note_recorded(self, records: Sequence[Record], lost: Sequence[Claim]) -> None:
        """Let go of messages whose ends are recorded, or whose leases were lost."""


class Recorder:
    """Collects records and notes while the previous batch is being written.

    Nothing is lost while the outbox is out of reach: the batch is retried until it is
    written. If a working database refuses a batch, halving it finds the entry at fault,
    and the rest is written. A refused record is written in a shorter form; if it is
    refused in every form, it is kept apart, and retried until it is written. A refused
    note is dropped; of a refused rendition, `store_renditions` says why. That another
    transaction has locked its row is no fault of an entry, which is retried as it is.
    """

    def __init__(self, outbox: Outbox, courier: RecordServices) -> None:
        self._outbox = outbox
        self._courier = courier
        self._entries: list[Entry] = []
        self._due: list[Refused] = []
        self._put_off = 0
        self._apart: dict[str, str] = {}
        """The messages whose records are kept apart, and their lanes."""
        self._unsettled: Counter[str] = Counter()
        self._unsettled_on: Counter[str] = Counter()
        self._news = asyncio.Event()
        self._due_at = inf
        self._nearer = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ids(self) -> Collection[str]:
        """The ids of messages whose ends are still to be written."""
        return self._unsettled

    def unwritten(self, lane: str) -> int:
        """How many ends of attempts at messages of ``lane`` are still to be written."""
        return self._unsettled_on[lane]

    def kept_apart(self, lane: str) -> int:
        """How many messages of ``lane`` have an end that is refused in every form."""
        return sum(one == lane for one in self._apart.values())

    def add(self, record: Record, wait_seconds: float = 0.0) -> None:
        """Add the end of an attempt, to be written within ``wait_seconds``."""
        self._unsettled[record.claim.id] += 1
        self._unsettled_on[record.claim.own_lane] += 1
        self._entries.append(record)
        self._write_within(wait_seconds)

    def note(self, row: Row) -> None:
        """Add an event that changes no state, to be written soon."""
        self._entries.append(Note(row))
        self._write_within(NOTE_WAIT_SECONDS)

    def begin(self, began: Began) -> None:
        """Add the beginning of an attempt, to be written soon."""
        self._entries.append(began)
        self._write_within(NOTE_WAIT_SECONDS)

    async def store_renditions(
        self, renditions: Sequence[Rendition]
    ) -> list[bool | MessageError]:
        """Store renditions together.

        Returns once they are stored. Of each it says False if its lease was lost, and
        why if the database refuses it.
        """
        loop = asyncio.get_running_loop()
        entries = [RenditionEntry(one, loop.create_future()) for one in renditions]
        self._entries += entries
        self._write_within(0.0)
        return await asyncio.gather(*[entry.stored for entry in entries])

    async def flush(self) -> None:
        """Return once everything that was added is written, or kept apart."""
        self._write_within(0.0)
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._news.wait()
            await self._wait_for_batch()
            entries, self._entries = self._entries, []
            due, self._due = self._due, []
            self._news.clear()
            self._due_at = inf
            await self._survive(self._write(entries), entries)
            for refused in due:
                self._put_off -= 1
                await self._survive(self._write_refused(refused), [refused.entry])
            if not self._news.is_set() and self._put_off <= len(self._apart):
                self._idle.set()

    def _write_within(self, seconds: float) -> None:
        """Write what was added, at the latest in so many seconds."""
        self._idle.clear()
        self._news.set()
        due_at = time.monotonic() + seconds
        if due_at < self._due_at:
            self._due_at = due_at
            self._nearer.set()

    async def _wait_for_batch(self) -> None:
        while (seconds := self._due_at - time.monotonic()) > 0:
            self._nearer.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._nearer.wait()

    async def _write(self, entries: Sequence[Entry], *, waits: bool = True) -> None:
        """Write ``entries``, and put off those that the database refuses.

        ``waits`` says whether to wait for locks.
        """
        error = await self._try(entries, waits=waits)
        if error is None:
            return
        if len(entries) == 1:
            await self._fall_back(Refused(entries[0]), error)
            return
        half = len(entries) // 2
        await self._write(entries[:half], waits=False)
        await self._write(entries[half:], waits=False)

    async def _survive(
        self, writing: Coroutine[Any, Any, None], entries: Sequence[Entry]
    ) -> None:
        """Write; if that fails by a bug, write again what is not written yet.

        Nobody else knows how these attempts have ended: the mail would be sent again.
        """
        try:
            await writing
        except Exception:
            _log.exception(
                "Ends of attempts could not be recorded, and are recorded again. This "
                "is a bug in Flask-Outbox: please report it."
            )
            for one in entries:
                if self._is_awaited(one):
                    self._retry_later(Refused(one), RETRY_WAIT_SECONDS)

    def _is_awaited(self, entry: Entry) -> bool:
        """Whether a message waits for this to be written."""
        if isinstance(entry, Record):
            return entry.claim.id in self._unsettled
        return isinstance(entry, RenditionEntry) and not entry.stored.done()

    async def _write_refused(self, refused: Refused) -> None:
        error = await self._try([refused.entry], waits=False)
        if error is not None:
            refused.tries += 1
            await self._fall_back(refused, error)

    async def _fall_back(self, refused: Refused, error: Exception) -> None:
        """Ask for less where more was asked for in vain, or wait."""
        entry = refused.entry
        if refused.tries < TRIES and not _is_plain(error):
            self._retry_later(refused, RETRY_WAIT_SECONDS)
        elif _fault(error) is Fault.LOCKED:
            refused.tries = 0
            self._say_unwritten(refused, error)
            self._retry_later(refused, RETRY_WAIT_SECONDS)
        elif not isinstance(entry, Record):
            self._drop(entry, error)
        elif refused.form < len(SHORTER):
            await self._write_shorter(entry, refused.form, error)
        else:
            self._apart[entry.claim.id] = entry.claim.own_lane
            self._say_unwritten(refused, error)
            self._retry_later(refused, LONG_WAIT_SECONDS)

    async def _write_shorter(self, record: Record, form: int, error: Exception) -> None:
        called, shorten = SHORTER[form]
        why = _why(error)
        _log.warning(
            "Message %s is recorded %s: %s",
            record.claim.id,
            called,
            why,
            extra=record.claim.log_fields,
        )
        await self._write_refused(Refused(shorten(record, why), 0, form + 1))

    def _say_unwritten(self, refused: Refused, error: Exception) -> None:
        """Say it the first time, and from time to time."""
        now = time.monotonic()
        if now - refused.said_at < SAY_SECONDS:
            return
        refused.said_at = now
        fields = _log_fields(refused.entry)
        _log.error(
            "Message %s cannot be recorded yet, and is retried: %s",
            fields["message_id"],
            _why(error),
            extra=fields,
        )

    def _retry_later(self, refused: Refused, seconds: float) -> None:
        self._put_off += 1
        asyncio.get_running_loop().call_later(seconds, self._retry_now, refused)

    def _retry_now(self, refused: Refused) -> None:
        self._due.append(refused)
        self._write_within(0.0)

    def _drop(self, entry: Began | Note | RenditionEntry, error: Exception) -> None:
        if not isinstance(entry, RenditionEntry):
            _log.warning(
                "An event could not be recorded and was dropped: %s",
                _why(error),
                extra=_log_fields(entry),
            )
        elif not entry.stored.done():
            size = len(entry.rendition.content)
            problem = f"its result, {size:,} bytes, cannot be stored: {_why(error)}"
            entry.stored.set_result(MessageError("template", problem))

    async def _try(self, entries: Sequence[Entry], *, waits: bool) -> Exception | None:
        """Write ``entries``; return None, or the error of a database that refuses them.

        While the database itself is in trouble, it waits and retries. ``waits`` says
        whether it also waits for locks.
        """
        batch = Batch.of(entries)
        while entries:
            try:
                recorded: Recorded = await self._courier.in_thread(
                    self._outbox.record,
                    batch.records,
                    batch.notes,
                    batch.begun,
                    [one.rendition for one in batch.rendered],
                    waits,
                )
            except Exception as error:
                if not await self._is_away(error):
                    return error
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                self._settle(batch.records, recorded)
                for entry in recorded.suppressed:
                    signal, said = suppressed_announcement(entry)
                    self._courier.emit(signal, **said)
                for one in batch.rendered:
                    if not one.stored.done():
                        one.stored.set_result(one.claim not in recorded.lost)
                return None
        return None

    async def _is_away(self, error: Exception) -> bool:
        """Whether the database itself is in trouble; if it is, `courier_stalled` is
        sent.
        """
        if not isinstance(error, StoreError):
            return False
        cause = error.__cause__ or error
        if fault_of(cause) is None or not concerns_all(cause):
            try:
                await self._courier.in_thread(self._outbox.check)
            except StoreError as trouble:
                error = trouble
            else:
                return False
        self._courier.emit(signals.courier_stalled, error=error)
        return True

    def _settle(self, records: Sequence[Record], recorded: Recorded) -> None:
        """Report written records. An error with one does not stop the next."""
        lost = recorded.lost
        suppressed = {one.address for one in recorded.suppressed}
        self._unsettled_on.subtract(one.claim.own_lane for one in records)
        try:
            self._courier.note_recorded(records, lost)
        except Exception:
            _log.exception("Attempts were recorded, but not counted.")
        for record in records:
            try:
                self._send_signal(record, record.claim in lost, suppressed)
            except Exception:
                _log.exception(
                    "Message %s was recorded, but its signals were not sent.",
                    record.claim.id,
                    extra=record.claim.log_fields,
                )
            self._apart.pop(record.claim.id, None)
        self._unsettled.subtract(one.claim.id for one in records)
        self._unsettled = +self._unsettled

    def _send_signal(self, record: Record, lost: bool, suppressed: Set[str]) -> None:
        claim = record.claim
        if lost:
            self._courier.emit(
                signals.lease_lost, message_id=claim.id, **trace_fields(claim.trace)
            )
            return
        if record.kind is None:
            return
        payload = end_payload(
            claim,
            record.verdict.reason,
            replies=record.detail["replies"],
            due_at=record.verdict.due_at,
            dialogue=record.detail.get("dialogue", ()),
            suppressed=bool(suppressed) and _all_failed_are_in(record, suppressed),
        )
        self._courier.emit(ATTEMPT_ENDS[record.kind].signal, **payload)


def _all_failed_are_in(record: Record, suppressed: Set[str]) -> bool:
    """Whether all recipients to whom a retry would go are ``suppressed`` by now."""
    ends = record.verdict.recipients.items()
    failed = {comparable(address) for address, (end, _) in ends if end is State.FAILED}
    failed_before = State.FAILED in record.claim.settled
    return bool(failed) and failed <= suppressed and not failed_before


def _is_plain(error: Exception) -> bool:
    """Whether another try would certainly fail too."""
    waits = (None, Fault.LOST, Fault.LOCKED, Fault.SILENT, Fault.CONFLICT)
    return _fault(error) not in waits


def _fault(error: Exception) -> Fault | None:
    return fault_of(error.__cause__ or error)


def _why(error: Exception) -> str:
    """Why an entry is refused by a database that works."""
    return CLOSES if _fault(error) is Fault.LOST else str(error)
