"""The actions of a person on messages and batches: names, effects, when they apply.

The command line and the dashboard offer the same actions in the same words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from blinker import NamedSignal

from .delivery import State
from .errors import MessageNotFound, TransitionRefused
from .outbox import BatchStore, MessageActions, OnProgress, no_progress
from .outbox.records import Actor, MessageRecord, Receipt
from .phrases import Phrase, phrase, term
from .runtime import Runtime
from .sending.announce import announce_receipt
from .signals import (
    batch_cancelled,
    batch_paused,
    batch_resumed,
    emit,
    message_cancelled,
    message_retried,
    message_sent_again,
)

Change = Callable[[str], Receipt | None]
"""Changes the message with this id; returns the receipt of the new message, if it makes
one. Raises `MessageNotFound` and `TransitionRefused`."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a person on a message."""

    label: Phrase
    """The text of its button."""
    effect: Phrase
    """Its effect, in a sentence."""
    done: Phrase
    """What is reported of the message afterwards."""
    states: frozenset[State]
    """The states in which it is offered. The outbox checks the state again."""
    change: Callable[..., Receipt | None]
    """What it does to the message in the outbox: one of `MessageActions`."""
    signal: NamedSignal
    """Sent afterwards."""

    def is_offered_for(self, record: MessageRecord, barred: Collection[str]) -> bool:
        """Whether it may be possible while the recipients in ``barred`` must not be
        mailed.

        What has lost its content is over for good. A message is not tried again for
        nobody, nor in a cancelled batch; and not retried while its batch is paused.
        """
        if record.content_removed or record.state not in self.states:
            return False
        if self.signal is not message_retried:
            return True
        if record.batch_paused and self.change is MessageActions.retry:
            return False
        left = [one for one in record.recipients if one.state is not State.SENT]
        return not record.batch_cancelled and any(
            one.address not in barred for one in left
        )

    def do(
        self, runtime: Runtime, id: str, actor: Actor | None = None, **options: Any
    ) -> Receipt | None:
        """Change the message, announce it, and have couriers look for what is due.

        The audit trail has it if ``actor`` is given. ``options`` are those of
        ``change``. Returns the receipt of the new message, if one was made. Raises
        `MessageNotFound` and `TransitionRefused`.
        """
        traces = runtime.traces if self.signal is message_sent_again else None
        with traces.hand_over() if traces else nullcontext() as span:
            began = time.perf_counter()
            if span:
                options["trace"] = span.context
            receipt = runtime.outbox.act(self.change, id, actor, **options)
            if receipt is None:
                emit(self.signal, runtime.sender, message_id=id)
                if self.signal is message_retried:
                    runtime.look([id])
                return None
            seconds = time.perf_counter() - began
            new = runtime.outbox.get(receipt.id)
            nobody = new.state is State.SUPPRESSED
            announce_receipt(runtime.sender, receipt, nobody, seconds)
            runtime.look([new.id])
            emit(self.signal, runtime.sender, message_id=id, again_as=new.id)
            if span:
                span.note_message(new.lane, new.id)
        return receipt

    def do_to_each(
        self,
        runtime: Runtime,
        ids: Collection[str],
        actor: Actor | None = None,
        note: str = "",
    ) -> dict[str, str]:
        """Change these messages in one transaction, then do as `do` does.

        Not for what makes new messages. Returns the messages that stay unchanged, and
        why. The audit trail has a line for each of the others, with ``note``.
        """
        refused = runtime.outbox.act_on_each(self.change, ids, actor, note)
        done = [one for one in ids if one not in refused]
        for id in done:
            emit(self.signal, runtime.sender, message_id=id)
        if self.signal is message_retried:
            runtime.look(done)
        return refused


ACTIONS: Mapping[str, Action] = {
    "retry": Action(
        phrase("Retry"),
        phrase(
            "Try a message again now. It goes to every recipient to whom it was not "
            "sent."
        ),
        term("done", "due now"),
        frozenset({State.PENDING, State.FAILED, State.CANCELLED, State.SUPPRESSED}),
        MessageActions.retry,
        message_retried,
    ),
    "cancel": Action(
        phrase("Cancel"),
        phrase(
            "Stop the delivery before it begins. A cancelled message can be retried "
            "later."
        ),
        term("done", "cancelled"),
        frozenset({State.PENDING}),
        MessageActions.cancel,
        message_cancelled,
    ),
    "release": Action(
        phrase("Release"),
        phrase(
            "Send an unknown message again. It goes to the recipients whose delivery "
            "is unknown; anyone who already got it gets it twice."
        ),
        term("done", "due now"),
        frozenset({State.UNKNOWN}),
        MessageActions.release,
        message_retried,
    ),
    "drop": Action(
        phrase("Drop"),
        phrase(
            "Close an unknown message without sending it again. It may or may not have "
            "arrived."
        ),
        term("done", "dropped"),
        frozenset({State.UNKNOWN}),
        MessageActions.drop,
        message_cancelled,
    ),
    "send-again": Action(
        phrase("Send again"),
        phrase(
            "Send a finished message again, as a new one. It goes to all its "
            "recipients; anyone who already got it gets it twice."
        ),
        term("done", "sent again"),
        frozenset({State.SENT, State.FAILED, State.CANCELLED}),
        MessageActions.send_again,
        message_sent_again,
    ),
}
"""By the name in commands and forms."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action did to one message."""

    id: str
    new_id: str | None = None
    """The id of the new message, if one was made."""
    error: str | None = None
    """Why nothing was done; None if it was."""


def apply(change: Change, id: str) -> ActionResult:
    """Make ``change`` to a message; if that is refused, the result says why."""
    try:
        receipt = change(id)
    except (MessageNotFound, TransitionRefused) as error:
        return ActionResult(id, error=str(error))
    return ActionResult(id, receipt.id if receipt is not None else None)


@dataclass(frozen=True, slots=True)
class BatchAction:
    """One action of a person on a batch."""

    label: Phrase
    """The text of its button."""
    effect: Phrase
    """Its effect, in a sentence."""
    done: Phrase
    """What is reported of the batch afterwards."""
    change: Callable[[BatchStore, str, OnProgress, Actor | None], None]
    """What it does to the batch in the outbox."""
    signal: NamedSignal
    """Sent afterwards."""

    def do(self, runtime: Runtime, id: str, actor: Actor | None = None) -> None:
        """Change the batch, announce it, and have couriers look for what is due.

        The audit trail has it if ``actor`` is given. Raises `BatchNotFound` and
        `TransitionRefused`.
        """
        resumes = self.signal is batch_resumed
        on_progress = runtime.look if resumes else no_progress
        self.change(runtime.batches, id, on_progress, actor)
        emit(self.signal, runtime.sender, batch=id)


BATCH_ACTIONS: Mapping[str, BatchAction] = {
    "pause": BatchAction(
        phrase("Pause"),
        phrase(
            "Send no more of a batch, on any machine, until it is resumed. Attempts "
            "that have begun are finished."
        ),
        term("done", "is paused"),
        BatchStore.pause,
        batch_paused,
    ),
    "resume": BatchAction(
        phrase("Resume"),
        phrase("Send the waiting messages of a paused batch in their turn."),
        term("done", "is resumed"),
        BatchStore.resume,
        batch_resumed,
    ),
    "cancel": BatchAction(
        phrase("Cancel"),
        phrase(
            "Cancel the messages of a batch that were not sent. This cannot be undone."
        ),
        term("done", "is cancelled"),
        BatchStore.cancel,
        batch_cancelled,
    ),
}
"""By the name in commands and forms."""
