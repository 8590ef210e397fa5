"""Pulse: a courier counts what its attempts come to, minute by minute."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from ..delivery import State
from ..errors import StoreError
from ..outbox.leases import Record
from ..outbox.pulse import MERGED_AFTER_SECONDS, MINUTE, row_of
from ..outbox.records import Claim
from ..outbox.store import Outbox
from ..patience import Patience
from ..tally import Tally, common_words

FORGOTTEN_AFTER_SECONDS = MERGED_AFTER_SECONDS / 2
"""What could not be written until then is not written later: it may be merged."""


class Pulse:
    """The tallies of one courier that are still growing, or not yet written."""

    def __init__(self, courier_id: str, patience: Patience) -> None:
        self._courier_id = courier_id
        self._patience = patience
        self._tallies: dict[tuple[int, str], Tally] = {}
        self._changed: set[tuple[int, str]] = set()

    def count(self, record: Record) -> None:
        """Count an attempt's end."""
        key = (int(record.at) // MINUTE * MINUTE, record.claim.lane)
        tally = self._tallies.setdefault(key, Tally())
        self._changed.add(key)
        tally.ended[record.kind] += 1
        if record.kind == "sent":
            tally.waits.add(record.at - self._due_at(record.claim))
        if record.verdict.attempted:
            tally.durations.add(record.detail["seconds"])
            for words in _troubles(record):
                tally.meet(words, record.claim.id)

    def _due_at(self, held: Claim) -> float:
        return held.give_up_at - self._patience.seconds_for(held.tag)

    async def write(
        self, outbox: Outbox, in_thread: Callable[..., Awaitable[object]]
    ) -> None:
        """Write down what has changed, if anything has."""
        changed, self._changed = self._changed, set()
        rows = [
            row_of(at, self._courier_id, lane, self._tallies[at, lane])
            for at, lane in sorted(changed)
        ]
        try:
            if rows:
                await in_thread(outbox.write_pulse, rows)
        except StoreError:
            self._changed |= changed
            raise
        finally:
            self._let_go(outbox.clock())

    def _let_go(self, now: float) -> None:
        """Forget minutes that are over and written, or too old to be written."""
        for key in list(self._tallies):
            age_seconds = now - key[0]
            patience = FORGOTTEN_AFTER_SECONDS if key in self._changed else 2 * MINUTE
            if age_seconds > patience:
                self._changed.discard(key)
                del self._tallies[key]


def _troubles(record: Record) -> Iterator[str]:
    """What kept recipients from getting the message, for each of them."""
    for state, reply in record.verdict.recipients.values():
        if state is not State.SENT:
            yield common_words(str(reply))
