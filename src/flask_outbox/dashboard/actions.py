"""Actions: what a person may do to messages, one or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..runtime import Runtime
from .blueprint import send_again


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done to a message."""

    name: str
    """What a person reads on the button."""
    warning: str
    """What it comes to, for whoever is asked to confirm it."""
    done: str
    """What has been done, after the number of messages."""
    states: frozenset[State]
    """The states of a message in which it is offered."""
    do: Callable[[Runtime, str], str | None]
    """Does it, and answers the id of a message that came of it, if one did."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it for one message."""

    id: str
    """The message, or the one that came of it."""
    error: str | None


def _send_again(_runtime: Runtime, id: str) -> str:
    return send_again(id).id


ACTIONS: Mapping[str, Action] = {
    "retry": Action(
        "Retry",
        "Tried again now, for every recipient who has not got it.",
        "due now",
        frozenset({State.PENDING, State.FAILED, State.CANCELLED, State.SUPPRESSED}),
        Runtime.retry,
    ),
    "cancel": Action(
        "Cancel",
        "Taken out before it is delivered. It can be retried later.",
        "cancelled",
        frozenset({State.PENDING}),
        Runtime.cancel,
    ),
    "release": Action(
        "Release",
        "Sent once more now, though it may have arrived: only to those of whom nobody "
        "knows whether they have got it.",
        "due now",
        frozenset({State.UNKNOWN}),
        Runtime.release,
    ),
    "drop": Action(
        "Drop",
        "Done with, though it may not have arrived: it is not sent once more.",
        "dropped",
        frozenset({State.UNKNOWN}),
        Runtime.drop,
    ),
    "again": Action(
        "Send again",
        "Sent to all its recipients once more, as a new message: whoever has got it "
        "gets it twice.",
        "sent again",
        frozenset({State.SENT, State.FAILED, State.CANCELLED}),
        _send_again,
    ),
}


def carry_out(action: Action, runtime: Runtime, ids: Iterable[str]) -> list[Done]:
    """Do it to each message; where it cannot be done, the others are done all the same.

    Raises what says that nothing can be done at all.
    """
    return [_one(action, runtime, id) for id in ids]


def _one(action: Action, runtime: Runtime, id: str) -> Done:
    try:
        return Done(action.do(runtime, id) or id, None)
    except (MessageNotFound, TransitionRefused) as error:
        return Done(id, str(error))
