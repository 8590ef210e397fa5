"""Sending to many, and what becomes of such batches, as methods of `Mail`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from email.message import Message as StandardMessage
from typing import Any, overload

from ..errors import MessageError
from ..handover import Wishes
from ..many import PRIORITY, Plan, Row, from_template, whom, whom_of
from ..message import Message, check_label
from ..origin import origin
from ..outbox.batch_records import BatchReceipt, BatchRecord, Failure
from ..runtime import Runtime

UNNAMED = "messages"
"""The name of a batch that nobody gave one."""


class Many:
    """The part of `Mail` that sends to many."""

    @property
    def _runtime(self) -> Runtime:
        raise NotImplementedError

    @overload
    def send_many(
        self, messages: Iterable[Message | StandardMessage], /, **wishes: Any
    ) -> BatchReceipt: ...

    @overload
    def send_many(
        self, template: str, rows: Iterable[Row], /, **wishes: Any
    ) -> BatchReceipt: ...

    def send_many(
        self,
        what: str | Iterable[Any],
        rows: Iterable[Row] | None = None,
        /,
        *,
        name: str | None = None,
        tag: str | None = None,
        priority: int = PRIORITY,
        at: datetime | None = None,
        delay: float | timedelta | None = None,
        key: str | None = None,
        metadata: Any = None,
        transport: str | None = None,
        unsubscribe: bool = False,
        resume: str | None = None,
        **message: Any,
    ) -> BatchReceipt:
        """Return once every message is durably kept, as one batch.

        ``send_many(messages)`` takes any iterable of messages. ``send_many(template,
        rows)`` takes the name of a template, as `Message.from_template` does, and any
        iterable of rows: mappings whose ``to`` is the address and which the template is
        filled with, or pairs of an address and such a mapping. Couriers render it.

        Either may be without end: no more is in memory than one commit keeps, and what
        is kept is on its way already.

        :param name: what the batch is called, for people; by default the template
        :param key: makes it idempotent: the same key again goes on where the last
            hand-over broke off, and sends nothing where all was kept
        :param resume: the id of the batch that goes on with these rows, of which those
            that are kept are passed over
        :param message: with a template, more arguments of `Message.from_template` that
            hold for all, such as ``sender``

        The other arguments are those of `send`, and hold for every message; the
        ``priority`` is lower by default, so that single messages overtake.

        Raises `BatchInterrupted`, which names the row and says how to go on, for
        whatever comes in between: a message that could never be sent, an error of the
        iterable, an outbox that is out of reach. Raises `MessageError` for an argument
        that is wrong for all, and for rows that are not those of the batch;
        `TransitionRefused` where the batch was cancelled, and `BatchNotFound`.
        """
        wishes = Wishes(
            *(at, delay, priority, None, tag, metadata, transport),
            unsubscribe=unsubscribe,
        )
        template = what if isinstance(what, str) else None
        plan = Plan(name or template or tag or UNNAMED, tag, key, resume)
        _check(plan, what, rows, message)
        send = self._runtime.batches.send
        if template is None:
            return send(what, lambda one: one, whom, wishes, plan, origin())
        message_of = from_template(template, **message)
        Message.from_template(template, render="later", **message)  # or no batch begins
        return send(rows or (), message_of, whom_of, wishes, plan, origin())

    def batch(self, id: str) -> BatchRecord:
        """How a batch stands, its messages counted. Raises `BatchNotFound`."""
        return self._runtime.batches.ledger.get(id)

    def batches(self, limit: int = 50) -> list[BatchRecord]:
        """The newest batches first."""
        return self._runtime.batches.ledger.newest(limit)

    def batch_failures(self, id: str) -> Iterator[Failure]:
        """Everyone who did not get a batch's message, and why: read as it is asked."""
        return self._runtime.batches.ledger.failures(id)

    def pause_batch(self, id: str) -> BatchRecord:
        """Let nothing of a batch leave, on any machine, until `resume_batch`.

        What a courier has in hand at this moment is finished; what is handed over to
        the batch meanwhile waits as well. Raises `TransitionRefused` for a cancelled
        one, and `BatchNotFound`.
        """
        self._runtime.batches.pause(id)
        return self.batch(id)

    def resume_batch(self, id: str) -> BatchRecord:
        """Let a paused batch go on.

        A hand-over that broke off is another thing: `send_many` with ``resume``. Raises
        `TransitionRefused` for a cancelled one, and `BatchNotFound`.
        """
        self._runtime.batches.resume(id)
        return self.batch(id)

    def cancel_batch(self, id: str) -> BatchRecord:
        """Take all of a batch out that has not left, for good.

        A hand-over that is under way ends with `TransitionRefused`. Raises
        `BatchNotFound`.
        """
        self._runtime.batches.cancel(id)
        return self.batch(id)


def _check(plan: Plan, what: Any, rows: Any, message: Mapping[str, Any]) -> None:
    check_label("name", plan.name)
    if plan.key is not None:
        check_label("key", plan.key)
    if isinstance(what, str):
        if rows is None:
            raise MessageError("rows", f"{what!r} is a template: pass rows to fill it.")
    elif rows is not None:
        raise MessageError("rows", "they fill a template, and messages were passed.")
    elif message:
        raise TypeError(f"send_many() takes no {', '.join(message)} with messages")
