"""What the outbox answers about batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..delivery import State


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What ``send_many()`` answers: every row is in the outbox, in this batch."""

    id: str
    messages: int
    """How many rows it has, each of them a message."""
    duplicate: bool = False
    """Whether all of them were there before, so that nothing was handed over now."""


class BatchState(StrEnum):
    """Where a batch stands."""

    ENQUEUEING = "enqueueing"
    """Its rows are being handed over; the first of them are on their way."""
    INTERRUPTED = "interrupted"
    """The hand-over broke off: what is kept goes out, and it can be resumed."""
    SENDING = "sending"
    """All of it is kept, and not all is finished."""
    PAUSED = "paused"
    """A person paused it: nothing of it leaves."""
    CANCELLED = "cancelled"
    """A person cancelled what had not left."""
    DONE = "done"
    """All of it is kept, and couriers are done with every message."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch as the outbox knows it at the moment of asking."""

    id: str
    name: str
    state: BatchState
    key: str | None
    tag: str | None
    kept: int
    """How many of its rows are in the outbox, or were until they were pruned."""
    total: int | None
    """How many rows it has; None where nobody can know before the last is there."""
    counts: Mapping[State, int]
    """How many messages that are in the outbox now are in which state."""
    began_at: datetime
    kept_at: datetime
    """When the last of the rows that are here was kept."""
    ended_at: datetime | None
    """When all of its rows were; None before that."""
    paused_at: datetime | None
    cancelled_at: datetime | None
    error: str | None
    """Why the hand-over broke off, and at which row; None while it has not."""

    @property
    def finished(self) -> int:
        """How many messages couriers are done with; what was pruned counts."""
        return self.kept - sum(
            count for state, count in self.counts.items() if not state.final
        )

    @property
    def progress(self) -> float:
        """How much of it is finished, from 0 to 1, of the rows that are known of."""
        return self.finished / max(self.total or 0, self.kept, 1)

    def per_second(self, now: datetime) -> float:
        """How many messages were finished in a second on average since it began."""
        return self.finished / max((now - self.began_at).total_seconds(), 0.001)


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient of a batch who did not get the message, and why."""

    row: int
    """The row's number in the batch, from 1."""
    message_id: str
    """The id of its message in the outbox."""
    address: str
    state: State
    """``failed``, ``unknown``, ``suppressed`` or ``cancelled``."""
    reply: str
    """What the server, or the outbox, last said of it; "" where nobody did."""
