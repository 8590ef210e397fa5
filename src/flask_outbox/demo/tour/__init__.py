"""The guided tour: a lesson that follows a mail that this app really sends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug import Response

from flask_outbox.courier.attempt import attempt

from ..shop import mail, send_email
from ..views import ping, watched
from ..web import CannotRun, own_pages_only
from . import text
from .crash_app import with_outbox, with_thread
from .listing import Listing, listing
from .run import TAKES_SECONDS, Lesson, StepResult, step_results
from .text import QUIZ, STEPS

touring: Blueprint = Blueprint("touring", __name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The response to an answer in the quiz."""

    right: bool
    text: str


@touring.get("/tour")
def tour() -> str:
    """The lesson, before its mail is sent."""
    return _page(None, ())


@touring.post("/tour")
@own_pages_only
def start() -> Response:
    """Send the mail of a new lesson."""
    try:
        given = watched().lessons.give(request.host)
    except CannotRun as error:
        abort(503, f"The lesson cannot be given: {error}")
    return redirect(url_for(".lesson", id=given.id), 303)


@touring.get("/tour/<id>")
def lesson(id: str) -> str:
    """The lesson for one mail, up to its latest finished step."""
    given = watched().lessons.get(id)
    if given is None:
        abort(404, f"No lesson was given on {id} since the demo started. See /tour.")
    return _page(given, step_results(given, mail.get(id), watched().server.arrived))


@touring.post("/tour/crash")
@own_pages_only
def start_crash() -> Response:
    """Crash an app at ``step``, once with a thread and once with the outbox."""
    step = request.form.get("step", type=int)
    if step not in [one.number for one in STEPS]:
        abort(400, f"step is not a number from 1 to {len(STEPS)}.")
    try:
        watched().crashes.begin(step)
    except CannotRun as error:
        abort(409, str(error))
    id = request.form.get("lesson")
    page = url_for(".lesson", id=id) if id else url_for(".tour")
    return redirect(f"{page}#losses", 303)


def _page(given: Lesson | None, happened: tuple[StepResult, ...]) -> str:
    return render_template(
        "tour.html",
        content=text,
        given=given,
        happened=happened,
        takes_seconds=TAKES_SECONDS,
        listings=listings(),
        crashes=watched().crashes,
        crashed=crashed(),
        answers=request.args,
        verdicts=verdicts(request.args),
    )


@cache
def listings() -> tuple[Listing, ...]:
    """The code of the route, of another route, and of the courier."""
    return (
        listing(
            "The route", send_email, {1: ("def",), 2: ("receipt = mail.send", "return")}
        ),
        listing("Any other request", ping, {3: ("return",)}),
        listing(
            "In the background: the courier's attempt",
            attempt,
            {
                3: ("report = await transport.deliver",),
                4: ("verdict = classify(claim, report",),
                5: ("record = _record", "return record"),
            },
        ),
    )


@cache
def crashed() -> tuple[Listing, ...]:
    """The code of the two apps that can be crashed."""
    return (
        listing("With a thread", with_thread, {2: ("Thread(", 'return "Email')}),
        listing("With the outbox", with_outbox, {2: ("mail.send(", 'return "Email')}),
    )


def verdicts(answers: dict[str, str]) -> dict[str, Verdict]:
    """The response to each answer of the quiz."""
    return {
        question.name: Verdict(choice.value == question.right, choice.verdict)
        for question in QUIZ
        for choice in question.choices
        if choice.value == answers.get(question.name)
    }
