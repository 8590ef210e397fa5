"""Tracked: where the request, the courier and the mail stood after each step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..delivery import State
from ..story import Event

_AFTERWARDS: Mapping[str, State] = {
    "enqueued": State.PENDING,
    "began": State.LEASED,
    "sent": State.SENT,
    "deferred": State.PENDING,
    "failed": State.FAILED,
    "unknown": State.UNKNOWN,
    "released": State.PENDING,
    "resent": State.PENDING,
    "stopped": State.CANCELLED,
    "cancelled": State.CANCELLED,
    "retried": State.PENDING,
    "let_go": State.PENDING,
    "dropped": State.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the execution table, with the state that it left the mail in."""

    event: Event
    mail: str


def steps(events: Iterable[Event]) -> tuple[Step, ...]:
    """The execution table of a message."""
    return tuple(_steps(events))


def _steps(events: Iterable[Event]) -> Iterator[Step]:
    mail = ""
    for event in events:
        mail = _afterwards(event) or mail
        yield Step(event, mail)


def _afterwards(event: Event) -> str | None:
    if event.kind == "enqueued" and event.detail.get("courier"):
        return State.LEASED
    if event.kind == "suppressed" and event.detail["finished"]:
        return State.SUPPRESSED
    if event.kind == "rescued":
        return str(event.detail["state"])
    return _AFTERWARDS.get(event.kind)
