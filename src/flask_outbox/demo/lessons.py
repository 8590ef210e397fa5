"""Lessons: a mail really sent by calling ``/send-email``, while others are served."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from threading import Thread

from flask import Flask

from flask_outbox import OutboxError

from .errors import CannotRun
from .sending import mail
from .smtp import LocalSmtp

TAKES_SECONDS = 3.0
"""How long the SMTP server takes over a lesson's mail, so that there is a meanwhile."""

VISIT_SECONDS = 0.2
"""How often another visitor comes in the meantime."""

PATIENCE_SECONDS = 60.0
"""How long at most."""

LESSONS = 12
"""How many lessons are remembered."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that the app answered: when it came, and how long it took."""

    at: datetime
    seconds: float
    status: int
    text: str
    location: str

    @property
    def ended_at(self) -> datetime:
        """When the answer was there."""
        return self.at + timedelta(seconds=self.seconds)


@dataclass(slots=True)
class Lesson:
    """What was measured from outside, beside the mail's own story."""

    call: Visit
    """The user's request to ``/send-email``."""
    visits: list[Visit] = field(default_factory=list)
    """Those of another visitor, until after the mail's end."""
    known_at: datetime | None = None
    """When the visitor, looking at each visit, saw that it was known what became of
    the mail."""

    @property
    def id(self) -> str:
        """The message's."""
        return self.call.location.rpartition("/")[2]


class Lessons:
    """The lessons that one app has given since it started."""

    def __init__(self, app: Flask, smtp: LocalSmtp) -> None:
        self._app = app
        self._smtp = smtp
        self._given: dict[str, Lesson] = {}

    def give(self, host: str) -> Lesson:
        """Call ``/send-email`` at ``host``, have others come meanwhile, and return.

        The SMTP server is well again, and slow over this one mail. Raises `CannotRun`.
        """
        try:
            self._smtp.take_time(TAKES_SECONDS)
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
            target=self._come_meanwhile,
            args=(host, lesson),
            name="visitor",
            daemon=True,
        ).start()
        return lesson

    def get(self, id: str) -> Lesson | None:
        """A lesson by the id of its message."""
        return self._given.get(id)

    def _come_meanwhile(self, host: str, lesson: Lesson) -> None:
        """Ask the app for something else until the mail is through, and once more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while lesson.known_at is None and time.monotonic() < deadline:
                if self._is_through(lesson):
                    lesson.known_at = datetime.now(UTC)
                visit = _visit(host, "GET", "/ping")
                if visit.status != 204:
                    return
                lesson.visits.append(visit)
                time.sleep(VISIT_SECONDS)
        except (OSError, HTTPException, OutboxError):
            return  # the demo has ended

    def _is_through(self, lesson: Lesson) -> bool:
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
