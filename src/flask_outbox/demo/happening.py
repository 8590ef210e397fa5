"""Happening: what each step of the lesson was on the mail that was really sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask_outbox import MessageRecord
from flask_outbox.story import Event
from flask_outbox.words import counted, duration

from .lessons import Lesson, Visit
from .shown import after
from .smtp import Arrival

ENDS = ("sent", "failed", "unknown", "cancelled")
"""The kinds of event after which nothing more happens in a lesson."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened at a step, and how long after the call."""

    after: str
    what: str
    arrival: Arrival | None = None
    """The mail as it came to the SMTP server, where the step is about that."""


def happenings(
    lesson: Lesson, record: MessageRecord, arrived: tuple[Arrival, ...]
) -> tuple[Happening, ...]:
    """What has happened so far: one for each step that is over."""
    return tuple(_steps(lesson, record, arrived))


def _steps(
    lesson: Lesson, record: MessageRecord, arrived: tuple[Arrival, ...]
) -> Iterator[Happening]:
    def since(moment: datetime) -> str:
        return after(moment - lesson.call.at)

    request = record.events[0].what.removesuffix(" handed the message over")
    yield Happening(since(lesson.call.at), f"{request} came in.")
    if (responded := _first(record, "responded")) is None:
        return
    yield Happening(
        since(lesson.call.ended_at), _response(lesson.call, responded, record.id)
    )
    end = _first(record, *ENDS)
    others = [one for one in lesson.visits if end is None or one.at < end.at]
    if not others:
        return
    yield Happening(since(others[0].at), _others(others))
    if end is None:
        return
    yield Happening(since(end.at), f"{end.what}. Output: {end.output or 'none'}.")
    if lesson.known_at is None:
        return
    yield Happening(since(lesson.known_at), _known(record), _arrival(record, arrived))
    if later := [one for one in lesson.visits if one.at >= lesson.known_at]:
        yield Happening(since(later[0].at), _afterwards(later[0]))


def _first(record: MessageRecord, *kinds: str) -> Event | None:
    return next((event for event in record.events if event.kind in kinds), None)


def _arrival(record: MessageRecord, arrived: tuple[Arrival, ...]) -> Arrival | None:
    return next((one for one in arrived if one.message_id == record.message_id), None)


def _response(call: Visit, responded: Event, id: str) -> str:
    handover = duration(responded.detail["handover_seconds"])
    return (
        f"The mail was in the outbox after {handover}, with the id {id}. "
        f"“{call.text}” (status {call.status}) was at the caller "
        f"{duration(call.seconds)} after the call."
    )


def _others(visits: list[Visit]) -> str:
    slowest = duration(max(one.seconds for one in visits))
    requests = counted(len(visits), "other request")
    return (
        f"While the mail was on its way, the app answered {requests} (GET /ping), the "
        f"slowest in {slowest}."
    )


def _known(record: MessageRecord) -> str:
    reply = record.recipients[0].reply
    return f"mail.get(id).state is “{record.state}”, and the reply is kept: {reply}."


def _afterwards(visit: Visit) -> str:
    return (
        "The lease on the mail is given back, and the courier waits for the next one. "
        f"The app answered the next GET /ping after {duration(visit.seconds)}."
    )
