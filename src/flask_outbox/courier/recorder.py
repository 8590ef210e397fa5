"""Recorder: what couriers find out, written to the outbox in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .. import events
from ..attempt import shortened
from ..errors import MessageError, StoreError
from ..outbox.faults import Fault, concerns_all, fault_of
from ..outbox.hot import Row
from ..outbox.leases import Record
from ..outbox.records import Claim
from ..outbox.renditions import Rendition
from ..outbox.store import Outbox

NOTE_WAIT_SECONDS = 0.05
"""How long a note waits for company: shown soon enough for people, and most attempts
end within it, so that their two events share a commit."""

RETRY_WAIT_SECONDS = 1.0
"""How often an outbox that is out of reach is tried again."""

TRIES = 3
"""How often a database that works is asked to write what it seems to refuse: the link
may have been lost, or a lock held, by somebody else's doing."""

LONG_WAIT_SECONDS = 30.0
"""How often it is asked to record what it refuses in every form."""

_log = logging.getLogger("flask_outbox")

_SIGNALS = {
    "sent": events.message_sent,
    "deferred": events.message_deferred,
    "failed": events.message_failed,
    "unknown": events.message_unknown,
    "released": events.message_released,
}


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """An event that changes no state."""

    row: Row
    begun: bool = False
    """Whether it is told only while the lease of its message holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Keeping:
    """A rendition, and whoever waits until it is written."""

    rendition: Rendition
    kept: asyncio.Future[bool]


Entry = Record | Note | Keeping


@dataclass(slots=True)
class Refused:
    """What the database would not write, and how often in this form."""

    entry: Entry
    tries: int = 1
    shortened: bool = False


class Recorder:
    """Collects records and notes while the previous batch is being written.

    Nothing is dropped while the outbox is out of reach: the batch is tried again until
    it is written. What the database refuses, though it works, is found by halving the
    batch, and the rest is written: a record then in a shorter form, a note not at all,
    and whoever waits for a rendition is told. ``done`` is called for each record that
    is settled, and told whether its lease was lost.
    """

    def __init__(
        self,
        outbox: Outbox,
        in_thread: Callable[..., Awaitable[Any]],
        done: Callable[[Record, bool], None],
        emit: Callable[..., None],
    ) -> None:
        self._outbox = outbox
        self._in_thread = in_thread
        self._done = done
        self._emit = emit
        self._entries: list[Entry] = []
        self._due: list[Refused] = []
        self._put_off = 0
        self._unsettled: Counter[str] = Counter()
        self._news = asyncio.Event()
        self._pressing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ids(self) -> Collection[str]:
        """The messages whose ends are yet to be written."""
        return self._unsettled

    def add(self, record: Record) -> None:
        """Take an attempt's end, to be written at once."""
        self._unsettled[record.claim.id] += 1
        self._take(record)
        self._pressing.set()

    def note(self, row: Row) -> None:
        """Take an event that changes no state, to be written soon."""
        self._take(Note(row))

    def begin(self, row: Row) -> None:
        """Take the event that an attempt began, to be written soon."""
        self._take(Note(row, begun=True))

    async def keep(self, rendition: Rendition) -> bool:
        """Return once a rendition is written; False where its lease was lost.

        Raises `MessageError` where the database refuses it.
        """
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._take(Keeping(rendition, kept))
        self._pressing.set()
        return await kept

    async def flush(self) -> None:
        """Return once all that was taken is written."""
        self._pressing.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._news.wait()
            await self._wait_for_company()
            entries, self._entries = self._entries, []
            due, self._due = self._due, []
            self._news.clear()
            self._pressing.clear()
            await self._write(entries)
            for refused in due:
                self._put_off -= 1
                await self._write_refused(refused)
            if not self._news.is_set() and not self._put_off:
                self._idle.set()

    def _take(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._have_news()

    def _have_news(self) -> None:
        self._idle.clear()
        self._news.set()

    async def _wait_for_company(self) -> None:
        try:
            async with asyncio.timeout(NOTE_WAIT_SECONDS):
                await self._pressing.wait()
        except TimeoutError:
            pass

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Write ``entries``, and put off those that the database refuses."""
        error = await self._try(entries)
        if error is None:
            return
        if len(entries) == 1:
            await self._give_in(Refused(entries[0]), error)
            return
        half = len(entries) // 2
        await self._write(entries[:half])
        await self._write(entries[half:])

    async def _write_refused(self, refused: Refused) -> None:
        error = await self._try([refused.entry])
        if error is not None:
            refused.tries += 1
            await self._give_in(refused, error)

    async def _give_in(self, refused: Refused, error: Exception) -> None:
        """Ask for less where more was asked for in vain, or wait."""
        entry = refused.entry
        if refused.tries < TRIES and not _is_plain(error):
            self._later(refused, RETRY_WAIT_SECONDS)
        elif isinstance(entry, Record) and not refused.shortened:
            _log.warning("Message %s is recorded in short: %s", entry.claim.id, error)
            short = Refused(shortened(entry, str(error)), 0, shortened=True)
            await self._write_refused(short)
        elif isinstance(entry, Record):
            _log.error("Message %s cannot be recorded yet: %s", entry.claim.id, error)
            self._later(refused, LONG_WAIT_SECONDS)
        else:
            self._drop(entry, error)

    def _later(self, refused: Refused, seconds: float) -> None:
        self._put_off += 1
        asyncio.get_running_loop().call_later(seconds, self._is_due, refused)

    def _is_due(self, refused: Refused) -> None:
        self._due.append(refused)
        self._pressing.set()
        self._have_news()

    def _drop(self, entry: Note | Keeping, error: Exception) -> None:
        if isinstance(entry, Note):
            _log.warning("An event could not be written, and is left out: %s", error)
        elif not entry.kept.done():
            size = len(entry.rendition.content)
            problem = f"what came of it, {size:,} bytes, cannot be kept: {error}"
            entry.kept.set_exception(MessageError("template", problem))

    async def _try(self, entries: Sequence[Entry]) -> Exception | None:
        """Write ``entries`` and return None, or what the database has against them.

        While the database itself is in trouble, that is waited for.
        """
        while entries:
            try:
                lost: list[Claim] = await self._in_thread(
                    self._outbox.record,
                    [one for one in entries if isinstance(one, Record)],
                    [one.row for one in _notes(entries) if not one.begun],
                    [one.row for one in _notes(entries) if one.begun],
                    [one.rendition for one in entries if isinstance(one, Keeping)],
                )
            except Exception as error:
                if not await self._is_away(error):
                    return error
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                for entry in entries:
                    self._settle(entry, lost)
                return None
        return None

    async def _is_away(self, error: Exception) -> bool:
        """Whether the database itself is in trouble, which then is told."""
        if not isinstance(error, StoreError):
            return False
        cause = error.__cause__ or error
        if fault_of(cause) is None or not concerns_all(cause):
            try:
                await self._in_thread(self._outbox.check)
            except StoreError as trouble:
                error = trouble
            else:
                return False
        self._emit(events.courier_stalled, error=error)
        return True

    def _settle(self, entry: Entry, lost: Sequence[Claim]) -> None:
        if isinstance(entry, Record):
            self._settle_record(entry, entry.claim in lost)
        elif isinstance(entry, Keeping) and not entry.kept.done():
            entry.kept.set_result(entry.rendition.claim not in lost)

    def _settle_record(self, record: Record, lost: bool) -> None:
        """Have done with a record; whatever that meets, the next one comes."""
        try:
            self._done(record, lost)
            self._tell(record, lost)
        except Exception:
            _log.exception("Message %s was recorded, not told.", record.claim.id)
        finally:
            self._unsettled -= Counter([record.claim.id])

    def _tell(self, record: Record, lost: bool) -> None:
        held = record.claim
        if lost:
            self._emit(events.lease_lost, message_id=held.id)
            return
        payload = {
            "message_id": held.id,
            "attempt": held.attempt,
            "lane": held.lane,
            "replies": record.detail["replies"],
            "due_at": record.verdict.due_at,
            "reason": record.verdict.reason,
            "dialogue": record.detail.get("dialogue", ()),
        }
        self._emit(_SIGNALS[record.kind], **payload)


def _notes(entries: Sequence[Entry]) -> list[Note]:
    return [one for one in entries if isinstance(one, Note)]


def _is_plain(error: Exception) -> bool:
    """Whether it is certain that asking once more would be in vain."""
    fault = fault_of(error.__cause__ or error)
    return fault not in (None, Fault.LOST, Fault.HELD, Fault.SILENT, Fault.CONFLICT)
