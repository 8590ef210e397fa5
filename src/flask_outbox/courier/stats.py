"""Statistics of one courier: how its attempts ended, minute by minute."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..counters import Counters, normalized_reply
from ..delivery import State
from ..errors import StoreError
from ..events import EventKind
from ..limits import RetryWindow
from ..outbox import MERGED_AFTER_SECONDS, MINUTE, Outbox, Record, stats_row

FORGOTTEN_AFTER_SECONDS = MERGED_AFTER_SECONDS / 2
"""Counters that could not be written for this long are dropped: older minutes may have
been merged already."""


class CourierStats:
    """The counters of one courier that still grow or are not yet written."""

    def __init__(self, courier_id: str, retry_window: RetryWindow) -> None:
        self._courier_id = courier_id
        self._retry_window = retry_window
        self._counters: dict[tuple[int, str], Counters] = {}
        self._changed: set[tuple[int, str]] = set()

    def count(self, record: Record) -> None:
        """Count the end of an attempt."""
        if record.kind is None:
            return
        claim, verdict = record.claim, record.verdict
        key = (int(record.at) // MINUTE * MINUTE, claim.lane)
        counters = self._counters.get(key)
        if counters is None:
            counters = self._counters[key] = Counters()
        self._changed.add(key)
        counters.ended[record.kind] += 1
        if record.kind is EventKind.SENT:
            due_at = claim.give_up_at - self._retry_window.seconds_for(claim.tag)
            counters.waits.add(record.at - due_at)
        if verdict.attempted:
            counters.durations.add(record.detail["seconds"])
            for state, reply in verdict.recipients.values():
                if state is not State.SENT:
                    counters.count_trouble(normalized_reply(str(reply)), claim.id)

    async def write(
        self, outbox: Outbox, in_thread: Callable[..., Awaitable[object]]
    ) -> None:
        """Write the counters that have changed since the last call.

        Raises `StoreError`; those counters are then written by the next call.
        """
        changed, self._changed = self._changed, set()
        rows = [
            stats_row(at, self._courier_id, lane, self._counters[at, lane])
            for at, lane in sorted(changed)
        ]
        try:
            if rows:
                await in_thread(outbox.write_stats, rows)
        except StoreError:
            self._changed |= changed
            raise
        finally:
            self._let_go(outbox.clock())

    def _let_go(self, now: float) -> None:
        """Drop minutes that are over and written, or too old to be written."""
        for key in list(self._counters):
            age_seconds = now - key[0]
            keep_seconds = (
                FORGOTTEN_AFTER_SECONDS if key in self._changed else 2 * MINUTE
            )
            if age_seconds > keep_seconds:
                self._changed.discard(key)
                del self._counters[key]
