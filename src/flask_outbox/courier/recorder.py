"""Recorder: what couriers find out, written to the outbox in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from .. import events
from ..errors import StoreError
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

_log = logging.getLogger("flask_outbox")

_SIGNALS = {
    "sent": events.message_sent,
    "deferred": events.message_deferred,
    "failed": events.message_failed,
    "unknown": events.message_unknown,
    "released": events.message_released,
}


class Recorder:
    """Collects records and notes while the previous batch is being written.

    Nothing is dropped while the outbox is out of reach: the batch is tried again until
    it is written. ``done`` is called for each record that is settled, and told whether
    its lease was lost.
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
        self._records: list[Record] = []
        self._unsettled: Counter[str] = Counter()
        self._notes: list[Row] = []
        self._begun: list[Row] = []
        self._renditions: list[tuple[Rendition, asyncio.Future[bool]]] = []
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
        self._records.append(record)
        self._pressing.set()
        self._have_news()

    def note(self, row: Row) -> None:
        """Take an event that changes no state, to be written soon."""
        self._notes.append(row)
        self._have_news()

    def begin(self, row: Row) -> None:
        """Take the event that an attempt began, to be written soon."""
        self._begun.append(row)
        self._have_news()

    async def keep(self, rendition: Rendition) -> bool:
        """Return once a rendition is written; False where its lease was lost."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._renditions.append((rendition, kept))
        self._pressing.set()
        self._have_news()
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
            await self._write()

    def _have_news(self) -> None:
        self._idle.clear()
        self._news.set()

    async def _wait_for_company(self) -> None:
        try:
            async with asyncio.timeout(NOTE_WAIT_SECONDS):
                await self._pressing.wait()
        except TimeoutError:
            pass

    async def _write(self) -> None:
        records, self._records = self._records, []
        notes, self._notes = self._notes, []
        begun, self._begun = self._begun, []
        renditions, self._renditions = self._renditions, []
        self._news.clear()
        self._pressing.clear()
        rendered = [rendition for rendition, _ in renditions]
        claims_lost = await self._until_written(records, notes, begun, rendered)
        for rendition, kept in renditions:
            if not kept.done():
                kept.set_result(rendition.claim not in claims_lost)
        for record in records:
            self._settle(record, record.claim in claims_lost)
        if not self._news.is_set():
            self._idle.set()

    def _settle(self, record: Record, lost: bool) -> None:
        """Have done with a record; whatever that meets, the next one comes."""
        try:
            self._done(record, lost)
            self._tell(record, lost)
        except Exception:
            _log.exception("Message %s was recorded, not told.", record.claim.id)
        finally:
            self._unsettled -= Counter([record.claim.id])

    async def _until_written(
        self,
        records: list[Record],
        notes: list[Row],
        begun: list[Row],
        rendered: list[Rendition],
    ) -> list[Claim]:
        while True:
            try:
                lost: list[Claim] = await self._in_thread(
                    self._outbox.record, records, notes, begun, rendered
                )
            except StoreError as error:
                self._emit(events.courier_stalled, error=error)
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                return lost

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
