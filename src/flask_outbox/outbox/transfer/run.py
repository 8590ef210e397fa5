"""A whole transfer: the order of its steps, what it waits for, and when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import OutboxUnavailable
from ..outbox import Outbox
from .move import Left, Move
from .rest import (
    carry_audit,
    carry_batches,
    carry_feedback,
    carry_lanes,
    carry_stats,
    carry_suppressions,
)
from .rows import Carried

LOOK_SECONDS = 0.2
"""How often to look for messages that were enqueued or that couriers returned."""

RETRY_SECONDS = 1.0
"""How soon to try an unavailable outbox again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The transfer now waits for messages that couriers are delivering."""

    leased: int
    """The number of these messages."""


@dataclass(frozen=True, slots=True)
class Following:
    """The transfer now moves each message that is enqueued, until it is stopped."""


Step = Carried | Waiting | Following | OutboxUnavailable
"""What a transfer moved, what it does next, or why it has to try again."""


class TransferRun:
    """One transfer of ``source`` into ``target``, from start to end.

    With ``hold_unknown``, a message that a dead courier may have sent is put on hold
    as *unknown* instead of being sent again. A signal handler may call `stop`.
    """

    def __init__(self, source: Outbox, target: Outbox, *, hold_unknown: bool) -> None:
        self.carried: Carried = Carried()
        self.left: Left = Left(0, 0, 0, 0)
        """What was still in ``source`` at the end."""
        self.ended: str = ""
        """Why it ended: ``empty``, ``waited`` (time ran out) or the name of a signal.

        ``""`` until then.
        """
        self._source = source
        self._target = target
        self._move = Move(source, target)
        self._hold_unknown = hold_unknown

    def prepare(self) -> int:
        """Check that the transfer can begin; return how many messages there are.

        Raises what `Move.prepare` raises.
        """
        self._move.prepare()
        return self._move.left().messages

    def steps(self, *, follow: bool, wait_seconds: float) -> Iterator[Step]:
        """Move messages until none are left, or until `stop`; yield each step.

        Waits up to ``wait_seconds`` for messages that couriers are delivering. With
        ``follow``, goes on until `stop`. A chunk that was begun is always finished.
        """
        self._carry_rules()
        yield from self._carry()
        if follow:
            yield from self._follow()
        else:
            yield from self._wait_for_couriers(wait_seconds)
        self._carry_rules()
        carry_feedback(self._source, self._target)
        carry_audit(self._source, self._target)
        carry_stats(self._source, self._target)
        self._move.end()
        self.left = self._move.left()
        self.ended = self.ended or ("waited" if self.left.messages else "empty")

    def stop(self, why: str) -> None:
        """End after the current step; ``why`` is the name of a signal."""
        self.ended = why

    def _carry_rules(self) -> None:
        """Copy pauses, limits, batches and suppressions; first of all before mail."""
        carry_lanes(self._source, self._target)
        carry_batches(self._source, self._target)
        carry_suppressions(self._source, self._target)

    def _carry(self) -> Iterator[Carried]:
        while not self.ended and (step := self._move.carry()):
            self.carried += step
            yield step

    def _wait_for_couriers(self, seconds: float) -> Iterator[Step]:
        deadline = time.monotonic() + seconds
        if leased := self._move.left().leased:
            yield Waiting(leased)
        while (
            not self.ended
            and self._move.left().messages
            and time.monotonic() < deadline
        ):
            time.sleep(LOOK_SECONDS)
            yield from self._poll()

    def _follow(self) -> Iterator[Step]:
        yield Following()
        while not self.ended:
            try:
                yield from self._poll()
            except OutboxUnavailable as error:
                yield error
                time.sleep(RETRY_SECONDS)
            time.sleep(LOOK_SECONDS)

    def _poll(self) -> Iterator[Carried]:
        self._source.rescue(hold_unknown=self._hold_unknown)
        yield from self._carry()
