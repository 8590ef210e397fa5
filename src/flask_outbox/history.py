"""The history of a message in words: a table of what happened, step by step.

Each row says what happened, the states of the background work, the web request and the
message after it, and its output. ``flask outbox show`` and every page show these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .delivery import IN_INBOX, State
from .events import ATTEMPT_ENDS, Event, EventKind
from .feedback import as_reported
from .outbox.records import MessageRecord

Detail = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a message's history."""

    number: int
    """Its position, from 1."""
    event: Event
    what: str
    """What happened."""
    background: str
    """The state of the background work after it."""
    request: str
    """The state of the web request after it."""
    state: str
    """The state of the message after it."""
    output: str
    """Its output: an id, a status, a server's reply."""


@dataclass(frozen=True, slots=True)
class _Words:
    """One event in words; a "" means that this has not changed."""

    what: str
    background: str = ""
    output: str = ""


def describe(record: MessageRecord) -> tuple[Step, ...]:
    """The history of a message, one step for each of its events."""
    return tuple(_steps(record))


def _steps(record: MessageRecord) -> Iterator[Step]:
    request = "running" if record.origin else "none: sent by a script"
    background, state = "not started", ""
    for number, event in enumerate(record.events, start=1):
        words = _words(record, event)
        background = words.background or background
        state = _state_after(event) or state
        if event.kind == EventKind.RESPONDED:
            request = "finished: free for other requests"
        yield Step(number, event, words.what, background, request, state, words.output)


def _words(record: MessageRecord, event: Event) -> _Words:
    if event.kind == EventKind.ENQUEUED:
        return _enqueued(record, event.detail)
    if isinstance(event.kind, EventKind):
        return _WORDS[event.kind](event.detail)
    return _Words(event.kind.capitalize())


_STATES: Mapping[str, State] = {
    EventKind.ENQUEUED: State.PENDING,
    EventKind.BEGAN: State.LEASED,
    **{kind: end.state for kind, end in ATTEMPT_ENDS.items()},
    EventKind.RESENT: State.PENDING,
    EventKind.STOPPED: State.CANCELLED,
    EventKind.CANCELLED: State.CANCELLED,
    EventKind.RETRIED: State.PENDING,
    EventKind.RESEND_CONFIRMED: State.PENDING,
    EventKind.DROPPED: State.CANCELLED,
}


def _state_after(event: Event) -> str:
    """The message's state after the event; "" if it is the same."""
    if event.kind == EventKind.ENQUEUED and event.detail.get("courier"):
        return State.LEASED
    if event.kind == EventKind.SUPPRESSED and event.detail["finished"]:
        return State.SUPPRESSED
    if event.kind == EventKind.RESCUED:
        return str(event.detail["state"])
    return _STATES.get(event.kind, "")


def _enqueued(record: MessageRecord, detail: Detail) -> _Words:
    who = "A script"
    if origin := record.origin:
        who = f"{origin['method']} {origin['route']} (request {origin['request_id']})"
    what = f"{who} enqueued the message"
    if "batch" in detail:
        what += f", in row {detail['row']:,} of batch {detail['batch']}"
    if "again_of" in detail:
        what = f"A person sent message {detail['again_of']} again, as this one"
    background = "started: a courier has it" if detail.get("courier") else "waiting"
    if "due_at" in detail:
        background = f"waiting until {_clock(detail['due_at'])}"
    return _Words(what, background, f"id {record.id}")


def _responded(detail: Detail) -> _Words:
    return _Words(
        f"The response went out {_ms(detail['response_seconds'])} after the request "
        f"came in; enqueueing took {_ms(detail['handover_seconds'])} of that",
        output=f"status {detail['status']}",
    )


def _began(detail: Detail) -> _Words:
    what = f"Attempt {detail['attempt']} began on lane {detail['lane']}"
    if "instead_of" in detail:
        what += f", as the fallback of {detail['instead_of']}"
    return _Words(what, "running: talking to the server")


def _rendered(detail: Detail) -> _Words:
    return _Words(
        f"The courier rendered the template {detail['template']} in "
        f"{_ms(detail['seconds'])}",
        output=f"version {detail['version']}",
    )


def _sent(detail: Detail) -> _Words:
    if set(detail.get("replies", {}).values()) == {str(IN_INBOX)}:
        return _Words("It was stored in the dev inbox", "finished", _replies(detail))
    return _Words(
        f"The next hop accepted the mail, {_ms(detail['seconds'])} after attempt "
        f"{detail['attempt']} began",
        "finished",
        f"Email sent! {_replies(detail)}",
    )


def _deferred(detail: Detail) -> _Words:
    return _Words(
        f"Attempt {detail['attempt']} was deferred",
        f"waiting until {_clock(detail['due_at'])}",
        _replies(detail),
    )


def _failed(detail: Detail) -> _Words:
    reason = detail.get("reason")
    what = "Failed: the next hop refused the mail permanently"
    if reason:
        what = f"Failed: {reason}"
    return _Words(what, "finished", _replies(detail))


def _unknown(detail: Detail) -> _Words:
    due_at = detail.get("due_at")
    return _Words(
        "The connection was lost after the final dot: the mail may have arrived",
        f"waiting until {_clock(due_at)}" if due_at else "on hold for a person",
        _replies(detail),
    )


def _returned(detail: Detail) -> _Words:
    return _Words("The courier returned it untried", "waiting", detail["reason"])


def _suppressed(detail: Detail) -> _Words:
    addresses = list(detail["replies"])
    many = f"{len(addresses)} recipients"
    who = many if len(addresses) > 1 else addresses[0]
    return _Words(
        f"Suppressed: {who} must not be mailed",
        "finished" if detail["finished"] else "",
        _replies(detail),
    )


def _changed(detail: Detail) -> _Words:
    return _Words(f"{detail['by']} changed it: {', '.join(detail['fields'])}")


def _stopped(detail: Detail) -> _Words:
    return _Words(f"{detail['by']} stopped it", "finished", detail["reason"])


def _rescued(detail: Detail) -> _Words:
    background = {
        State.PENDING: "waiting",
        State.FAILED: "finished",
        State.UNKNOWN: "on hold for a person",
    }
    state = State(detail["state"])
    what = "It was rescued from a courier that died"
    if state is State.FAILED:
        what = f"Failed as poison: {detail['crashes']} couriers died delivering it"
    return _Words(what, background[state])


def _cancelled(detail: Detail) -> _Words:
    what = "A person cancelled it"
    if "batch" in detail:
        what = f"A person cancelled its batch, {detail['batch']}"
    if "in_favour_of" in detail:
        what = "Cancelled: another message with its key was enqueued here"
    return _Words(what, "finished", detail.get("in_favour_of", ""))


def _moved(detail: Detail) -> _Words:
    return _Words(f"It moved here from {detail['came_from']}")


def _stayed(detail: Detail) -> _Words:
    return _Words(f"Its move to {detail['heading_to']} was abandoned: it stayed here")


def _sent_again(detail: Detail) -> _Words:
    what = "A person sent it again, as a new message"
    if "by" in detail:
        what = f"A person sent it by {detail['by']}, as a new message"
    return _Words(what, output=f"id {detail['again_as']}")


def _reported(what: str) -> Callable[[Detail], _Words]:
    def words(detail: Detail) -> _Words:
        happened = what.format(to=detail["address"])
        if detail.get("operator"):
            happened += ", because of the sender's own set-up"
        return _Words(
            f"{happened}, {as_reported(detail['source'])}",
            output=detail.get("url") or detail.get("words") or "",
        )

    return words


def _fixed(what: str, background: str) -> Callable[[Detail], _Words]:
    return lambda _: _Words(what, background)


_WORDS: Mapping[EventKind, Callable[[Detail], _Words]] = {
    EventKind.RESPONDED: _responded,
    EventKind.CHANGED: _changed,
    EventKind.STOPPED: _stopped,
    EventKind.SUPPRESSED: _suppressed,
    EventKind.BEGAN: _began,
    EventKind.RENDERED: _rendered,
    EventKind.SENT: _sent,
    EventKind.DEFERRED: _deferred,
    EventKind.FAILED: _failed,
    EventKind.UNKNOWN: _unknown,
    EventKind.RETURNED: _returned,
    EventKind.RESCUED: _rescued,
    EventKind.RESENT: _fixed(
        "Its wait as unknown is over: it is sent again", "waiting"
    ),
    EventKind.CANCELLED: _cancelled,
    EventKind.RETRIED: _fixed("A person retried it", "waiting"),
    EventKind.RESEND_CONFIRMED: _fixed(
        "A person released it: it is sent again, though it may have arrived",
        "waiting",
    ),
    EventKind.DROPPED: _fixed(
        "A person dropped it: it is not sent again, because it may have arrived",
        "finished",
    ),
    EventKind.SENT_AGAIN: _sent_again,
    EventKind.MOVED: _moved,
    EventKind.STAYED: _stayed,
    EventKind.ERASED: _fixed(
        "The data of a recipient were erased, with its content", ""
    ),
    EventKind.DELAYED: _reported("A later server has not taken it yet for {to}"),
    EventKind.SOFT_BOUNCED: _reported("It came back from {to} for a passing reason"),
    EventKind.DELIVERED: _reported("It was delivered to {to}"),
    EventKind.OPENED: _reported("The pictures in the mail to {to} were fetched"),
    EventKind.CLICKED: _reported("A link in the mail to {to} was followed"),
    EventKind.BOUNCED: _reported("It came back from {to} for good"),
    EventKind.UNSUBSCRIBED: _reported("{to} unsubscribed"),
    EventKind.COMPLAINED: _reported("{to} called it spam"),
}
"""Every kind but *enqueued*, which also needs the message's origin."""


def _replies(detail: Detail) -> str:
    """The replies; a single one where they are all equal."""
    replies: Mapping[str, str] = detail.get("replies", {})
    different = set(replies.values())
    if len(different) == 1:
        return different.pop()
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
