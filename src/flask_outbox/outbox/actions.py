"""What a person can do to a message: cancel, retry, release, drop, send again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, insert, or_, select, update
from sqlalchemy.engine import Row

from ..bounce_address import BounceAddress, token_of
from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..events import EventKind
from ..limits import RetryWindow
from ..message import serialize
from ..message.text import SENSITIVE_SUBJECT
from ..mime import with_new_identity
from ..recipient_guard import Guard
from ..trace_context import TraceContext
from . import suppressions
from .attachments import stored_content
from .claim import envelope
from .enqueue import add_events, enqueue, event_row
from .ids import new_id
from .notify import MAIL, notify
from .records import GONE, Act, NewMessage, Receipt, Sensitivity
from .rescue import reopen
from .schema import batch, content, event, message, recipient
from .sealed import query
from .sensitive import is_hidden, remove_contents
from .states import transition

RETRIED = frozenset({State.FAILED, State.UNKNOWN, State.CANCELLED, State.SUPPRESSED})
"""States of the recipients that a retry tries again: they have not got the message."""

CANCELLABLE = frozenset({State.PENDING, State.PAUSED, State.UNKNOWN})

_CANCEL = transition(
    CANCELLABLE, State.CANCELLED, finished_at=bindparam("finished_at")
).where(message.c.id == bindparam("which"))


@dataclass(frozen=True, slots=True)
class MessageActions:
    """The actions on one message, for `Outbox.act`; each within its transaction.

    ``now`` is in epoch seconds. Raises `MessageNotFound`, and `TransitionRefused` if
    the message's state or batch forbids the action.
    """

    connection: Connection
    message_id: str
    now: float
    retry_window: RetryWindow
    """How long it is tried, from now on, if it is sent again."""
    guard: Guard
    bounces: BounceAddress | None = None
    """Where reports about the app's mail come back, if anywhere."""

    def cancel(self) -> None:
        """Cancel a message that is pending, paused or *unknown*: it is not sent."""
        state = self._lock()
        if state == State.LEASED:
            raise TransitionRefused(
                f"Message {self.message_id} is being delivered right now and cannot be "
                "cancelled. If the attempt is deferred, cancel it then.",
                anchor="being-delivered",
            )
        self._refuse_moving(state)
        if state not in CANCELLABLE:
            raise TransitionRefused(
                f"Message {self.message_id} is {state}: there is nothing to cancel.",
                anchor="ended",
            )
        self._cancel(EventKind.CANCELLED)

    def retry(self) -> None:
        """Make a message due now, for every recipient who has not got it."""
        state = self._lock()
        if state == State.SENT:
            raise self._sent()
        if state == State.LEASED:
            raise TransitionRefused(
                f"Message {self.message_id} is being delivered right now.",
                anchor="being-delivered",
            )
        self._refuse_moving(state)
        self._refuse_pruned()
        self._refuse_in_stopped_batch()
        self._try_again(RETRIED, EventKind.RETRIED)

    def release(self) -> None:
        """Make an *unknown* message due now, for recipients who may not have got it."""
        self._refuse_unless_unknown()
        self._try_again({State.UNKNOWN}, EventKind.RESEND_CONFIRMED)

    def drop(self) -> None:
        """Cancel an *unknown* message: it is not sent again."""
        self._refuse_unless_unknown()
        self._cancel(EventKind.DROPPED)

    def send_again(
        self,
        *,
        origin: Mapping[str, Any] | None = None,
        by: str | None = None,
        to: Sequence[str] | None = None,
        trace: TraceContext | None = None,
    ) -> Receipt:
        """Enqueue a finished message's content again, for the same recipients.

        Both messages' histories record it. ``by`` names another lane, ``to`` gives
        other recipients.
        """
        state = self._lock()
        if not state.final:
            raise TransitionRefused(
                f"Message {self.message_id} is {state}: only a finished message can be "
                "sent again.",
                anchor="not-ended",
            )
        stored = self._stored()
        unique = new_id()
        rfc_message_id = f"<{unique}@{_domain(stored.rfc_message_id)}>"
        body, template = self._renewed_content(rfc_message_id)
        sensitivity = _sensitivity(stored, by)
        hidden = sensitivity is Sensitivity.HIDDEN
        new = NewMessage(
            id=unique,
            envelope=envelope(stored, to or self._recipients()),
            rfc_message_id=rfc_message_id,
            subject=SENSITIVE_SUBJECT if hidden else stored.subject,
            content=body,
            enqueued_at=self.now,
            due_at=self.now,
            give_up_at=self.now + self.retry_window.seconds_for(stored.tag),
            lane=by or stored.lane,
            queue=stored.queue,
            priority=stored.priority,
            tag=stored.tag,
            metadata=stored.metadata,
            origin=origin,
            again_of=self.message_id,
            template=template,
            sensitivity=sensitivity,
            trace=trace,
        )
        new = self._with_own_return_path(new)
        (receipt,) = enqueue(self.connection, [new], self.guard)
        detail = {"again_as": receipt.id, **({"by": by} if by else {})}
        add_events.run(
            self.connection,
            event_row(self.message_id, self.now, EventKind.SENT_AGAIN, **detail),
        )
        notify(self.connection, MAIL)
        return receipt

    def _lock(self) -> State:
        """The message's state; its row is locked until the transaction ends."""
        state = self.connection.scalar(
            select(message.c.state)
            .where(message.c.id == self.message_id)
            .with_for_update()
        )
        if state is None:
            raise not_found(self.message_id)
        return State(state)

    def _cancel(self, kind: EventKind) -> None:
        self.connection.execute(
            _CANCEL, {"which": self.message_id, "finished_at": self.now}
        )
        self.connection.execute(
            update(recipient)
            .where(
                recipient.c.message_id == self.message_id,
                recipient.c.state.in_((State.PENDING.value, State.UNKNOWN.value)),
            )
            .values(state=State.CANCELLED.value)
        )
        remove_contents(self.connection, [self.message_id])
        self._add_event(kind)

    def _try_again(self, states: Collection[State], kind: EventKind) -> None:
        """Make it due for recipients in ``states``; its retry window starts again."""
        tag = self.connection.scalar(
            select(message.c.tag).where(message.c.id == self.message_id)
        )
        self._refuse_if_all_are_barred(tag)
        give_up_at = self.now + self.retry_window.seconds_for(tag)
        reopen(
            self.connection,
            [self.message_id],
            self.now,
            states,
            crashes=0,
            give_up_at=give_up_at,
        )
        self._add_event(kind)
        notify(self.connection, MAIL)

    def _add_event(self, kind: EventKind) -> None:
        self.connection.execute(
            insert(event).values(
                message_id=self.message_id, at=self.now, kind=kind.value
            )
        )

    def _refuse_moving(self, state: State) -> None:
        if state == State.MOVING:
            raise TransitionRefused(
                f"Message {self.message_id} is being moved to another outbox: 'flask "
                "outbox status' shows which. Look for it there once the move is "
                "complete.",
                anchor="moving",
            )

    def _refuse_unless_unknown(self) -> None:
        state = self._lock()
        if state is not State.UNKNOWN:
            raise TransitionRefused(
                f"Message {self.message_id} is {state}: only an unknown message can be "
                "released or dropped.",
                anchor="not-unknown",
            )

    def _refuse_pruned(self) -> None:
        stored = select(content.c.message_id).where(
            content.c.message_id == self.message_id
        )
        if self.connection.scalar(stored) is None:
            raise TransitionRefused(
                f"Message {self.message_id} cannot be retried: {self._why_gone()}",
                anchor="content-gone",
            )

    def _why_gone(self) -> str:
        """Why the message has no content."""
        if is_hidden(self.connection, self.message_id):
            return (
                "it was sent with sensitive=True, so its content was removed when it "
                "ended. Have the app send a new one."
            )
        return f"its content {GONE}."

    def _refuse_in_stopped_batch(self) -> None:
        """Raise if the message's batch is stopped: no courier would deliver it."""
        stopped = self.connection.execute(
            select(*batch.c["id", "cancelled_at"])
            .join(message, message.c.batch == batch.c.id)
            .where(
                message.c.id == self.message_id,
                or_(batch.c.paused_at.is_not(None), batch.c.cancelled_at.is_not(None)),
            )
        ).first()
        if stopped is None:
            return
        if stopped.cancelled_at is None:
            raise TransitionRefused(
                f"Message {self.message_id} cannot be retried: its batch {stopped.id} "
                "is paused. 'flask outbox batch resume' ends that.",
                anchor="batch-paused",
            )
        raise TransitionRefused(
            f"Message {self.message_id} cannot be retried: its batch {stopped.id} was "
            "cancelled. 'flask outbox send-again' sends it as a message of its own.",
            anchor="batch-cancelled",
        )

    def _refuse_if_all_are_barred(self, tag: str | None) -> None:
        """Raise if every recipient who has not got the message is barred."""
        waiting = self._recipients(recipient.c.state.in_({*RETRIED, State.PENDING}))
        found = suppressions.find(self.connection, waiting, self.guard.erased)
        barred = suppressions.barred(found, waiting, tag, self.guard)
        if waiting and len(barred) == len(waiting):
            address, reply = next(iter(barred.items()))
            raise TransitionRefused(
                f"Message {self.message_id} cannot be retried: all of its remaining "
                f"recipients are suppressed ({address}: {reply}). End that first, by "
                "'flask outbox unsuppress ADDRESS' or on the dashboard's page "
                "Suppressions.",
                anchor="suppressed",
            )

    def _sent(self) -> TransitionRefused:
        left_out = select(recipient.c.position).where(
            recipient.c.message_id == self.message_id,
            recipient.c.state == State.SUPPRESSED.value,
        )
        if self.connection.scalars(left_out).first() is None:
            return TransitionRefused(
                f"Message {self.message_id} was sent to every recipient: there is "
                "nothing to retry.",
                anchor="sent",
            )
        return TransitionRefused(
            f"Message {self.message_id} was sent to every recipient who is not "
            "suppressed: there is nothing to retry. To mail the others, send a new "
            "message.",
            anchor="sent",
        )

    def _stored(self) -> Row[Any]:
        stored = query(
            self.connection,
            select(
                *message.c["id", "rfc_message_id", "return_path", "subject"],
                *message.c["lane", "queue", "priority", "tag", "sensitive"],
                *content.c["envelope", "metadata"],
            )
            .join(content, content.c.message_id == message.c.id)
            .where(message.c.id == self.message_id),
        ).first()
        if stored is None:
            raise TransitionRefused(
                f"Message {self.message_id} cannot be sent again: {self._why_gone()}",
                anchor="content-gone",
            )
        return stored

    def _renewed_content(self, rfc_message_id: str) -> tuple[bytes, str | None]:
        """The same content, or template, with a new Message-ID and date."""
        stored = stored_content(self.connection, self.message_id)
        assert stored is not None  # the message is locked
        if stored.template is not None:
            return stored.body, serialize.with_new_identity(
                stored.template, rfc_message_id, self.now
            )
        return with_new_identity(stored.body, rfc_message_id, self.now), None

    def _with_own_return_path(self, new: NewMessage) -> NewMessage:
        """``new`` with a token of its own, so that reports about it are not taken for
        reports about this message.
        """
        old = token_of(new.envelope.return_path)
        if old is None or self.bounces is None:
            return new
        token = self.bounces.token(new.id)
        new = replace(
            new,
            envelope=replace(new.envelope, return_path=self.bounces.of(new.id)),
        )
        if new.template is not None:
            return replace(new, template=new.template.replace(old, token))
        head, blank, rest = new.content.partition(b"\r\n\r\n")
        head = head.replace(old.encode(), token.encode())
        return replace(new, content=head + blank + rest)

    def _recipients(self, *which: ColumnElement[bool]) -> Sequence[str]:
        rows = query(
            self.connection,
            select(*recipient.c["message_id", "address"])
            .where(recipient.c.message_id == self.message_id, *which)
            .order_by(recipient.c.position),
        )
        return [row.address for row in rows]


def act_of(action: Callable[..., object]) -> Act:
    """What the audit trail calls one of `MessageActions`: each has its act's name."""
    return Act[action.__name__.upper()]


def not_found(message_id: str) -> MessageNotFound:
    """The error for an id that no message has."""
    return MessageNotFound(
        f"No message has the id {message_id!r}. 'flask outbox list' shows them."
    )


def _sensitivity(stored: Row[Any], by: str | None) -> Sensitivity:
    """That of a stored message which is sent again, perhaps ``by`` another lane: then
    it may leave the dev inbox, in which alone a sensitive message is shown.
    """
    before = Sensitivity(stored.sensitive or Sensitivity.NONE)
    return Sensitivity.HIDDEN if before and by is not None else before


def _domain(rfc_message_id: str) -> str:
    return rfc_message_id.strip("<>").rpartition("@")[2]
