"""The guided tour: the lesson, told on a mail that this app really sends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug import Response

from flask_outbox.attempt import attempt

from . import lesson as told
from .errors import CannotRun
from .guard import own_pages_only
from .happening import Happening, happenings
from .lesson import QUIZ, STEPS
from .lessons import TAKES_SECONDS, Lesson
from .listing import Listing, listing
from .sending import mail, send_email
from .victim import with_outbox, with_thread
from .watching import ping, watched

touring = Blueprint("touring", __name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said to an answer in the quiz."""

    right: bool
    text: str


@touring.get("/tour")
def tour() -> str:
    """The lesson, before any mail was sent for it."""
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
    """The lesson on one mail, as far as it has come."""
    given = watched().lessons.get(id)
    if given is None:
        abort(404, f"No lesson was given on {id} since the demo started. See /tour.")
    return _page(given, happenings(given, mail.get(id), watched().smtp.arrived))


@touring.post("/tour/crash")
@own_pages_only
def crash() -> Response:
    """Have an app crash at ``step``, once with a thread and once with the outbox."""
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


def _page(given: Lesson | None, happened: tuple[Happening, ...]) -> str:
    return render_template(
        "tour.html",
        told=told,
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
    """The code of the route, of another one, and of the courier."""
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
                4: ("verdict = classify(held, report",),
                5: ("return _record",),
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
    """What is said to each answer of the quiz that was given."""
    return {
        question.name: Verdict(choice.value == question.right, choice.verdict)
        for question in QUIZ
        for choice in question.choices
        if choice.value == answers.get(question.name)
    }
