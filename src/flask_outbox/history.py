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
from .humanize import milliseconds
from .outbox.records import MessageRecord
from .phrases import Phrase, joined, phrase

Detail = Mapping[str, Any]

FINISHED: Phrase = phrase("finished")
ON_HOLD: Phrase = phrase("on hold for a person")


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a message's history."""

    number: int
    """Its position, from 1."""
    event: Event
    what: Phrase
    """What happened."""
    background: Phrase
    """The state of the background work after it."""
    request: Phrase
    """The state of the web request after it."""
    state: str
    """The state of the message after it."""
    output: str
    """Its output: an id, a status, a server's reply."""


@dataclass(frozen=True, slots=True)
class _Words:
    """One event in words; what is left out has not changed."""

    what: Phrase
    background: Phrase | None = None
    output: str = ""


def describe(record: MessageRecord) -> tuple[Step, ...]:
    """The history of a message, one step for each of its events."""
    return tuple(_steps(record))


def _steps(record: MessageRecord) -> Iterator[Step]:
    request = phrase("running") if record.origin else phrase("none: sent by a script")
    background, state = phrase("not started"), ""
    for number, event in enumerate(record.events, start=1):
        words = _words(record, event)
        background = words.background or background
        state = _state_after(event) or state
        if event.kind == EventKind.RESPONDED:
            request = phrase("finished: free for other requests")
        yield Step(number, event, words.what, background, request, state, words.output)


def _words(record: MessageRecord, event: Event) -> _Words:
    if event.kind == EventKind.ENQUEUED:
        return _enqueued(record, event.detail)
    if isinstance(event.kind, EventKind):
        return _WORDS[event.kind](event.detail)
    return _Words(joined(event.kind.capitalize()))


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
    what = phrase("A script enqueued the message")
    if origin := record.origin:
        what = phrase(
            "%(method)s %(route)s (request %(id)s) enqueued the message",
            method=origin["method"],
            route=origin["route"],
            id=origin["request_id"],
        )
    if "batch" in detail:
        what = phrase(
            "%(enqueued)s, in row %(row)s of batch %(batch)s",
            enqueued=what,
            row=detail["row"],
            batch=detail["batch"],
        )
    if "again_of" in detail:
        what = phrase(
            "A person sent message %(id)s again, as this one", id=detail["again_of"]
        )
    background = phrase("waiting")
    if detail.get("courier"):
        background = phrase("started: a courier has it")
    if "due_at" in detail:
        background = _waiting_until(detail["due_at"])
    return _Words(what, background, _id(record.id))


def _responded(detail: Detail) -> _Words:
    return _Words(
        phrase(
            "The response went out %(response)s after the request came in; enqueueing "
            "took %(handover)s of that",
            response=milliseconds(detail["response_seconds"]),
            handover=milliseconds(detail["handover_seconds"]),
        ),
        output=phrase("status %(code)s", code=detail["status"]),
    )


def _began(detail: Detail) -> _Words:
    what = phrase(
        "Attempt %(number)s began on lane %(lane)s",
        number=detail["attempt"],
        lane=detail["lane"],
    )
    if "instead_of" in detail:
        what = phrase(
            "%(began)s, as the fallback of %(lane)s",
            began=what,
            lane=detail["instead_of"],
        )
    return _Words(what, phrase("running: talking to the server"))


def _rendered(detail: Detail) -> _Words:
    return _Words(
        phrase(
            "The courier rendered the template %(template)s in %(time)s",
            template=detail["template"],
            time=milliseconds(detail["seconds"]),
        ),
        output=phrase("version %(version)s", version=str(detail["version"])),
    )


def _sent(detail: Detail) -> _Words:
    if set(detail.get("replies", {}).values()) == {str(IN_INBOX)}:
        what = phrase("It was stored in the dev inbox")
        return _Words(what, FINISHED, _replies(detail))
    return _Words(
        phrase(
            "The next hop accepted the mail, %(time)s after attempt %(number)s began",
            time=milliseconds(detail["seconds"]),
            number=detail["attempt"],
        ),
        FINISHED,
        phrase("Email sent! %(reply)s", reply=_replies(detail)),
    )


def _deferred(detail: Detail) -> _Words:
    return _Words(
        phrase("Attempt %(number)s was deferred", number=detail["attempt"]),
        _waiting_until(detail["due_at"]),
        _replies(detail),
    )


def _failed(detail: Detail) -> _Words:
    what = phrase("Failed: the next hop refused the mail permanently")
    if reason := detail.get("reason"):
        what = phrase("Failed: %(reason)s", reason=reason)
    return _Words(what, FINISHED, _replies(detail))


def _unknown(detail: Detail) -> _Words:
    due_at = detail.get("due_at")
    return _Words(
        phrase(
            "The connection was lost after the final dot: the mail may have arrived"
        ),
        _waiting_until(due_at) if due_at else ON_HOLD,
        _replies(detail),
    )


def _returned(detail: Detail) -> _Words:
    what = phrase("The courier returned it untried")
    return _Words(what, phrase("waiting"), detail["reason"])


def _suppressed(detail: Detail) -> _Words:
    addresses = list(detail["replies"])
    what = phrase("Suppressed: %(address)s must not be mailed", address=addresses[0])
    if len(addresses) > 1:
        what = phrase(
            "Suppressed: %(number)s recipients must not be mailed",
            number=len(addresses),
        )
    return _Words(what, FINISHED if detail["finished"] else None, _replies(detail))


def _changed(detail: Detail) -> _Words:
    fields = ", ".join(detail["fields"])
    return _Words(
        phrase("%(by)s changed it: %(fields)s", by=detail["by"], fields=fields)
    )


def _stopped(detail: Detail) -> _Words:
    what = phrase("%(by)s stopped it", by=detail["by"])
    return _Words(what, FINISHED, detail["reason"])


def _rescued(detail: Detail) -> _Words:
    background = {
        State.PENDING: phrase("waiting"),
        State.FAILED: FINISHED,
        State.UNKNOWN: ON_HOLD,
    }
    state = State(detail["state"])
    what = phrase("It was rescued from a courier that died")
    if state is State.FAILED:
        what = phrase(
            "Failed as poison: %(number)s couriers died delivering it",
            number=detail["crashes"],
        )
    return _Words(what, background[state])


def _cancelled(detail: Detail) -> _Words:
    what = phrase("A person cancelled it")
    if "batch" in detail:
        what = phrase("A person cancelled its batch, %(batch)s", batch=detail["batch"])
    if "in_favour_of" in detail:
        what = phrase("Cancelled: another message with its key was enqueued here")
    return _Words(what, FINISHED, detail.get("in_favour_of", ""))


def _moved(detail: Detail) -> _Words:
    return _Words(phrase("It moved here from %(place)s", place=detail["came_from"]))


def _stayed(detail: Detail) -> _Words:
    return _Words(
        phrase(
            "Its move to %(place)s was abandoned: it stayed here",
            place=detail["heading_to"],
        )
    )


def _sent_again(detail: Detail) -> _Words:
    what = phrase("A person sent it again, as a new message")
    if "by" in detail:
        what = phrase(
            "A person sent it by %(transport)s, as a new message",
            transport=detail["by"],
        )
    return _Words(what, output=_id(detail["again_as"]))


def _reported(what: Callable[[str], Phrase]) -> Callable[[Detail], _Words]:
    def words(detail: Detail) -> _Words:
        happened = what(detail["address"])
        if detail.get("operator"):
            happened = joined(happened, phrase("because of the sender's own set-up"))
        return _Words(
            joined(happened, as_reported(detail["source"])),
            output=detail.get("url") or detail.get("words") or "",
        )

    return words


def _fixed(what: Phrase, background: Phrase | None) -> Callable[[Detail], _Words]:
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
        phrase("Its wait as unknown is over: it is sent again"), phrase("waiting")
    ),
    EventKind.CANCELLED: _cancelled,
    EventKind.RETRIED: _fixed(phrase("A person retried it"), phrase("waiting")),
    EventKind.RESEND_CONFIRMED: _fixed(
        phrase("A person released it: it is sent again, though it may have arrived"),
        phrase("waiting"),
    ),
    EventKind.DROPPED: _fixed(
        phrase(
            "A person dropped it: it is not sent again, because it may have arrived"
        ),
        FINISHED,
    ),
    EventKind.SENT_AGAIN: _sent_again,
    EventKind.MOVED: _moved,
    EventKind.STAYED: _stayed,
    EventKind.ERASED: _fixed(
        phrase("The data of a recipient were erased, with its content"), None
    ),
    EventKind.DELAYED: _reported(
        lambda address: phrase(
            "A later server has not taken it yet for %(address)s", address=address
        )
    ),
    EventKind.SOFT_BOUNCED: _reported(
        lambda address: phrase(
            "It came back from %(address)s for a temporary reason", address=address
        )
    ),
    EventKind.DELIVERED: _reported(
        lambda address: phrase("It was delivered to %(address)s", address=address)
    ),
    EventKind.OPENED: _reported(
        lambda address: phrase(
            "The pictures in the mail to %(address)s were fetched", address=address
        )
    ),
    EventKind.CLICKED: _reported(
        lambda address: phrase(
            "A link in the mail to %(address)s was followed", address=address
        )
    ),
    EventKind.BOUNCED: _reported(
        lambda address: phrase(
            "It came back from %(address)s for good", address=address
        )
    ),
    EventKind.UNSUBSCRIBED: _reported(
        lambda address: phrase("%(address)s unsubscribed", address=address)
    ),
    EventKind.COMPLAINED: _reported(
        lambda address: phrase("%(address)s called it spam", address=address)
    ),
}
"""Every kind but *enqueued*, which also needs the message's origin."""


def _replies(detail: Detail) -> str:
    """The replies; a single one where they are all equal."""
    replies: Mapping[str, str] = detail.get("replies", {})
    different = set(replies.values())
    if len(different) == 1:
        return different.pop()
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


def _id(id: str) -> Phrase:
    return phrase("id %(id)s", id=id)


def _waiting_until(at: float) -> Phrase:
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return phrase("waiting until %(when)s", when=when)
