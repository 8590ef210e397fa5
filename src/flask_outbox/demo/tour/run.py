"""Runs the tour: sends a mail by ``/send-email`` while other requests come.

The steps are taken from the history of that mail.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from threading import Thread

from flask import Flask

from flask_outbox import MessageRecord, OutboxError
from flask_outbox.events import Event, EventKind
from flask_outbox.history import Step, describe
from flask_outbox.humanize import counted, duration

from ..server import Arrival, LocalServer
from ..shop import after, mail
from ..web import CannotRun

TAKES_SECONDS = 3.0
"""How long the SMTP server takes for a lesson's mail, so that there is time for other
requests.
"""

VISIT_SECONDS = 0.2
"""How often the other visitor makes a request meanwhile."""

PATIENCE_SECONDS = 60.0
"""How long a lesson may take at most."""

LESSONS = 12
"""How many lessons are remembered."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that the app answered: its start and its duration."""

    at: datetime
    seconds: float
    status: int
    text: str
    location: str

    @property
    def ended_at(self) -> datetime:
        """When the response arrived."""
        return self.at + timedelta(seconds=self.seconds)


@dataclass(slots=True)
class Lesson:
    """What was measured from outside, in addition to the mail's history."""

    call: Visit
    """The user's request to ``/send-email``."""
    visits: list[Visit] = field(default_factory=list)
    """The other visitor's requests, until after the mail is finished."""
    known_at: datetime | None = None
    """When the visitor first saw that the mail was finished."""

    @property
    def id(self) -> str:
        """The message's id."""
        return self.call.location.rpartition("/")[2]


class Lessons:
    """The lessons of one app since it started."""

    def __init__(self, app: Flask, server: LocalServer) -> None:
        self._app = app
        self._server = server
        self._given: dict[str, Lesson] = {}

    def give(self, host: str) -> Lesson:
        """Call ``/send-email`` at ``host``, while others come, and return.

        The SMTP server behaves normally, but is slow for this mail. Raises `CannotRun`.
        """
        try:
            self._server.take_time(TAKES_SECONDS)
        except OSError as error:
            raise CannotRun(f"the SMTP server cannot come back: {error}.") from error
        try:
            call = _visit(host, "POST", "/send-email")
        except (OSError, HTTPException) as error:
            raise CannotRun(f"/send-email did not answer: {error!r}.") from error
        if call.status != 202:
            raise CannotRun(f"/send-email answered {call.status}: {call.text}")
        lesson = Lesson(call)
        self._given[lesson.id] = lesson
        for id in list(self._given)[:-LESSONS]:
            del self._given[id]
        Thread(
            target=self._request_meanwhile,
            args=(host, lesson),
            name="visitor",
            daemon=True,
        ).start()
        return lesson

    def get(self, id: str) -> Lesson | None:
        """A lesson by the id of its message."""
        return self._given.get(id)

    def _request_meanwhile(self, host: str, lesson: Lesson) -> None:
        """Make requests until the mail is finished, and one more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while lesson.known_at is None and time.monotonic() < deadline:
                if self._is_finished(lesson):
                    lesson.known_at = datetime.now(UTC)
                visit = _visit(host, "GET", "/ping")
                if visit.status != 204:
                    return
                lesson.visits.append(visit)
                time.sleep(VISIT_SECONDS)
        except (OSError, HTTPException, OutboxError):
            return  # the demo has ended

    def _is_finished(self, lesson: Lesson) -> bool:
        with self._app.app_context():
            return mail.get(lesson.id).state.final


def _visit(host: str, method: str, path: str) -> Visit:
    """One request over HTTP, as any client makes it."""
    http = HTTPConnection(host, timeout=PATIENCE_SECONDS)
    try:
        at = datetime.now(UTC)
        began = time.perf_counter()
        http.request(method, path)
        response = http.getresponse()
        text = response.read().decode()
        seconds = time.perf_counter() - began
    finally:
        http.close()
    return Visit(at, seconds, response.status, text, response.headers["Location"] or "")


ENDS = (
    EventKind.SENT,
    EventKind.FAILED,
    EventKind.UNKNOWN,
    EventKind.CANCELLED,
)
"""The kinds of event after which nothing more happens in a lesson."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What happened at a step, and how long after the call."""

    after: str
    what: str
    arrival: Arrival | None = None
    """The mail at the SMTP server, in steps about that."""


def step_results(
    lesson: Lesson, record: MessageRecord, arrived: tuple[Arrival, ...]
) -> tuple[StepResult, ...]:
    """What has happened so far: one for each finished step."""
    return tuple(_steps(lesson, record, arrived))


def _steps(
    lesson: Lesson, record: MessageRecord, arrived: tuple[Arrival, ...]
) -> Iterator[StepResult]:
    def since(moment: datetime) -> str:
        return after(moment - lesson.call.at)

    request = describe(record)[0].what.removesuffix(" enqueued the message")
    yield StepResult(since(lesson.call.at), f"{request} came in.")
    if (responded := _first(record, EventKind.RESPONDED)) is None:
        return
    yield StepResult(
        since(lesson.call.ended_at),
        _response(lesson.call, responded.event, record.id),
    )
    end = _first(record, *ENDS)
    others = [one for one in lesson.visits if end is None or one.at < end.event.at]
    if not others:
        return
    yield StepResult(since(others[0].at), _others(others))
    if end is None:
        return
    yield StepResult(
        since(end.event.at), f"{end.what}. Output: {end.output or 'none'}."
    )
    if lesson.known_at is None:
        return
    yield StepResult(since(lesson.known_at), _known(record), _arrival(record, arrived))
    if later := [one for one in lesson.visits if one.at >= lesson.known_at]:
        yield StepResult(since(later[0].at), _afterwards(later[0]))


def _first(record: MessageRecord, *kinds: EventKind) -> Step | None:
    steps = describe(record)
    return next((step for step in steps if step.event.kind in kinds), None)


def _arrival(record: MessageRecord, arrived: tuple[Arrival, ...]) -> Arrival | None:
    return next((one for one in arrived if one.message_id == record.id), None)


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
