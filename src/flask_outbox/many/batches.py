"""The batches of one app: handed over, asked about, and stopped by people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import events
from ..handover import Wishes, check_wishes
from ..outbox.batch_records import BatchReceipt
from ..outbox.ledger import Ledger
from ..outbox.records import NewMessage
from ..outbox.store import Outbox
from ..patience import Patience
from ..plain_json import WriteJson
from ..telling import goes_out, tell_of_handover
from .handing_over import Composable, HandOver, Kept, Plan

MakeReady = Callable[
    [Composable, Wishes, Mapping[str, Any] | None], tuple[Composable, NewMessage]
]
"""Answers the message as it is sent, and that ready to be kept."""


class Batches:
    """What an app does with batches. ``sender`` is whose signals the signals are.

    ``start`` sees that a courier works where one should, ``look`` has couriers look for
    the messages with these ids, which are due. ``write`` writes metadata that is no
    JSON by itself.
    """

    def __init__(
        self,
        outbox: Outbox,
        patience: Patience,
        sender: object,
        *,
        make_ready: MakeReady,
        start: Callable[[], object],
        look: Callable[[Sequence[str]], object],
        write: WriteJson,
    ) -> None:
        self.ledger = Ledger(outbox)
        self._clock = outbox.clock
        self._patience = patience
        self._sender = sender
        self._make_ready = make_ready
        self._start = start
        self._look = look
        self._write = write

    def send(
        self,
        rows: Iterable[Any],
        message_of: Callable[[Any], Composable],
        whom_of: Callable[[Any], Iterable[str]],
        wishes: Wishes,
        plan: Plan,
        origin: Mapping[str, Any] | None = None,
    ) -> BatchReceipt:
        """Keep a message for each row; couriers begin with the first of them.

        ``message_of`` makes a row a message, ``whom_of`` says to whom a row goes. See
        `HandOver`, also for what it raises.
        """
        check_wishes(wishes, self._clock(), self._write)

        def compose(row: Any) -> tuple[Composable, NewMessage]:
            return self._make_ready(message_of(row), wishes, origin)

        return HandOver(self.ledger, compose, whom_of, self._tell).run(rows, plan)

    def _tell(self, kept: Sequence[Kept], seconds: float) -> None:
        """Tell of the messages that one commit has kept, and have them looked at."""
        for one in kept:
            if goes_out(one.new, one.receipt):
                events.emit(events.email_dispatched, self._sender, message=one.message)
            each = seconds / len(kept)
            tell_of_handover(self._sender, one.new, one.receipt, each)
        self._start()
        self._look([one.new.id for one in kept if one.new.due_at <= self._clock()])

    def pause(self, id: str) -> None:
        """Let nothing of a batch leave, on any machine, until `resume`."""
        self.ledger.pause(id)
        events.emit(events.batch_paused, self._sender, batch=id)

    def resume(self, id: str) -> None:
        """Let a batch go on that was paused."""
        self.ledger.resume(id, self._patience, self._look)
        events.emit(events.batch_resumed, self._sender, batch=id)

    def cancel(self, id: str) -> None:
        """Take all of a batch out that has not left."""
        self.ledger.cancel(id)
        events.emit(events.batch_cancelled, self._sender, batch=id)
