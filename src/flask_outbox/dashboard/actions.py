"""Actions: what a person may do to messages, one or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..runtime import Runtime


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
    do: Callable[[Runtime, str], object]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it for one message."""

    id: str
    error: str | None


ACTIONS: Mapping[str, Action] = {
    "retry": Action(
        "Retry",
        "It is tried again now, for every recipient who has not got it.",
        "due now",
        frozenset({State.PENDING, State.FAILED, State.UNKNOWN, State.CANCELLED}),
        Runtime.retry,
    ),
    "cancel": Action(
        "Cancel",
        "It is taken out before it is delivered. It can be retried later.",
        "cancelled",
        frozenset({State.PENDING, State.UNKNOWN}),
        Runtime.cancel,
    ),
}


def carry_out(action: Action, runtime: Runtime, ids: Iterable[str]) -> list[Done]:
    """Do it to each message; where it cannot be done, the others are done all the same.

    Raises what says that nothing can be done at all.
    """
    return [_one(action, runtime, id) for id in ids]


def _one(action: Action, runtime: Runtime, id: str) -> Done:
    try:
        action.do(runtime, id)
    except (MessageNotFound, TransitionRefused) as error:
        return Done(id, str(error))
    return Done(id, None)
