"""The story of a message as an execution table: what happened, step by step.

Each row says what happened, where the background work and the web request then stood,
and what came out. The same rows are shown by `mail.get(id).events`, by
``flask outbox show`` and by every page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .delivery import KEPT_HERE


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a message's story."""

    step: int
    at: datetime
    kind: str
    what: str
    """What happened."""
    background: str
    """The state of the background work after it."""
    request: str
    """The state of the web request after it."""
    output: str
    """What came out: an id, a status, a server's reply."""
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as the outbox keeps it."""

    at: float
    kind: str
    detail: Mapping[str, Any]


Telling = tuple[str, str, str]
"""What happened, the background work, the output."""


def tell(
    message_id: str, origin: Mapping[str, Any] | None, events: Iterable[Stored]
) -> tuple[Event, ...]:
    """Tell the story of a message from its events, in the order of their times."""
    rows: list[Event] = []
    request = "running" if origin else "none: handed over by a script"
    background = "not started"
    for event in sorted(events, key=lambda one: one.at):
        if event.kind == "enqueued":
            what, background, output = _enqueued(message_id, origin, event.detail)
        else:
            what, changed, output = _telling(event.kind)(event.detail)
            background = changed or background
        if event.kind == "responded":
            request = "finished: free for other requests"
        rows.append(
            Event(
                step=len(rows) + 1,
                at=datetime.fromtimestamp(event.at, UTC),
                kind=event.kind,
                what=what,
                background=background,
                request=request,
                output=output,
                detail=event.detail,
            )
        )
    return tuple(rows)


def _enqueued(
    message_id: str, origin: Mapping[str, Any] | None, detail: Mapping[str, Any]
) -> Telling:
    who = "A script"
    if origin:
        who = f"{origin['method']} {origin['route']} (request {origin['request_id']})"
    what = f"{who} handed the message over"
    if "batch" in detail:
        what += f", in row {detail['row']:,} of batch {detail['batch']}"
    if "again_of" in detail:
        what = f"A person sent message {detail['again_of']} again, by this one"
    background = "started: a courier has it" if detail.get("courier") else "waiting"
    if "due_at" in detail:
        background = f"waiting until {_clock(detail['due_at'])}"
    return what, background, f"id {message_id}"


def _responded(detail: Mapping[str, Any]) -> Telling:
    return (
        f"The response went out, {_ms(detail['response_seconds'])} after the request "
        f"came; {_ms(detail['handover_seconds'])} of it the hand-over",
        "",
        f"status {detail['status']}",
    )


def _began(detail: Mapping[str, Any]) -> Telling:
    what = f"Attempt {detail['attempt']} began on lane {detail['lane']}"
    if "instead_of" in detail:
        what += f", which stands in for {detail['instead_of']}"
    return what, "running: talking to the server", ""


def _rendered(detail: Mapping[str, Any]) -> Telling:
    return (
        f"The courier rendered its template {detail['template']}, in "
        f"{_ms(detail['seconds'])}",
        "",
        f"version {detail['version']}",
    )


def _sent(detail: Mapping[str, Any]) -> Telling:
    if set(detail.get("replies", {}).values()) == {str(KEPT_HERE)}:
        return "It stays here, in the dev inbox", "finished", _replies(detail)
    return (
        f"The next hop accepted the mail, {_ms(detail['seconds'])} after attempt "
        f"{detail['attempt']} began",
        "finished",
        f"Email sent! {_replies(detail)}",
    )


def _deferred(detail: Mapping[str, Any]) -> Telling:
    return (
        f"Attempt {detail['attempt']} was put off",
        f"waiting until {_clock(detail['due_at'])}",
        _replies(detail),
    )


def _failed(detail: Mapping[str, Any]) -> Telling:
    reason = detail.get("reason")
    what = "The next hop refused the mail for good"
    if reason:
        what = f"Given up: {reason}"
    return what, "finished", _replies(detail)


def _unknown(detail: Mapping[str, Any]) -> Telling:
    due_at = detail.get("due_at")
    return (
        "The link was lost after the final dot: the mail may have arrived",
        f"waiting until {_clock(due_at)}" if due_at else "on hold for a person",
        _replies(detail),
    )


def _released(detail: Mapping[str, Any]) -> Telling:
    return "The courier gave it back untried", "waiting", detail["reason"]


def _suppressed(detail: Mapping[str, Any]) -> Telling:
    addresses = list(detail["replies"])
    many = f"{len(addresses)} recipients"
    who = many if len(addresses) > 1 else addresses[0]
    return (
        f"Suppressed: {who} must not be mailed",
        "finished" if detail["finished"] else "",
        _replies(detail),
    )


def _changed(detail: Mapping[str, Any]) -> Telling:
    return f"{detail['by']} changed it: {', '.join(detail['fields'])}", "", ""


def _stopped(detail: Mapping[str, Any]) -> Telling:
    return f"{detail['by']} stopped it", "finished", detail["reason"]


def _rescued(detail: Mapping[str, Any]) -> Telling:
    afterwards = {
        "pending": "waiting",
        "failed": "finished",
        "unknown": "on hold for a person",
    }
    what = "It was rescued from a courier that died"
    if detail["state"] == "failed":
        what = f"Given up as poison: {detail['crashes']} couriers died delivering it"
    return what, afterwards[detail["state"]], ""


def _cancelled(detail: Mapping[str, Any]) -> Telling:
    what = "A person cancelled it"
    if "batch" in detail:
        what = f"A person cancelled its batch, {detail['batch']}"
    if "in_favour_of" in detail:
        what = "Its key was handed over here too: only that other message goes out"
    return what, "finished", detail.get("in_favour_of", "")


def _moved(detail: Mapping[str, Any]) -> Telling:
    return f"It moved here from {detail['came_from']}", "", ""


def _stayed(detail: Mapping[str, Any]) -> Telling:
    return f"Its move to {detail['heading_to']} was called off: it stayed here", "", ""


def _sent_again(detail: Mapping[str, Any]) -> Telling:
    what = "A person sent it again, as a new message"
    if "by" in detail:
        what = f"A person had it leave by {detail['by']}, as a new message"
    return what, "", f"id {detail['again_as']}"


def _plain(what: str, background: str) -> Callable[[Mapping[str, Any]], Telling]:
    return lambda detail: (what, background, "")


_TELLINGS: Mapping[str, Callable[[Mapping[str, Any]], Telling]] = {
    "responded": _responded,
    "began": _began,
    "rendered": _rendered,
    "sent": _sent,
    "deferred": _deferred,
    "failed": _failed,
    "unknown": _unknown,
    "released": _released,
    "suppressed": _suppressed,
    "changed": _changed,
    "stopped": _stopped,
    "rescued": _rescued,
    "resent": _plain("Its wait as unknown is over: it is sent once more", "waiting"),
    "cancelled": _cancelled,
    "retried": _plain("A person asked for it again", "waiting"),
    "let_go": _plain(
        "A person released it: it is sent once more, though it may have arrived",
        "waiting",
    ),
    "dropped": _plain(
        "A person dropped it: it may have arrived, and is not sent once more",
        "finished",
    ),
    "sent_again": _sent_again,
    "moved": _moved,
    "stayed": _stayed,
}


def _telling(kind: str) -> Callable[[Mapping[str, Any]], Telling]:
    """How to tell an event; one of a later version is told by its name."""
    return _TELLINGS.get(kind, _plain(kind.capitalize(), ""))


def _replies(detail: Mapping[str, Any]) -> str:
    """The replies, one for all where they are equal."""
    replies: Mapping[str, str] = detail.get("replies", {})
    different = set(replies.values())
    if len(different) == 1:
        return different.pop()
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
