"""The page, and what it asks for again and again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    render_template,
    request,
    send_file,
    url_for,
)

from flask_outbox import MessageRecord
from flask_outbox.dashboard.blueprint import NAME as DASHBOARD
from flask_outbox.dashboard.tokens import ARGUMENT
from flask_outbox.picture import Sight

from . import shown
from .crashes import Crashes
from .guard import own_pages_only
from .lessons import Lessons
from .sending import mail
from .shown import Json
from .smtp import SLOW_SECONDS, Behaviour, LocalSmtp
from .watch import Watch

SLOWEST_SECONDS = 600.0

watching = Blueprint("watching", __name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the routes of one app look at."""

    smtp: LocalSmtp
    watch: Watch
    lessons: Lessons
    crashes: Crashes


@watching.get("/")
def page() -> str:
    """The page where a person presses *Send*.

    Its link to the dashboard passes on the token that the page was opened with, which
    stands in the terminal. Whoever opens the page without it gets none from it.
    """
    path = url_for(f"{DASHBOARD}.overview")
    token = request.args.get(ARGUMENT)
    return render_template(
        "demo.html",
        slow_seconds=SLOW_SECONDS,
        dashboard=f"{path}?{urlencode({ARGUMENT: token})}" if token else path,
    )


@watching.get("/ping")
def ping() -> tuple[str, int]:
    """Any other request: the page's heartbeat."""
    return "", 204


@watching.get("/now")
def now() -> Json:
    """How the server behaves, the lane, the latest messages, and what has arrived."""
    seen = watched()
    pause = seen.watch.pause
    return {
        "behaviour": seen.smtp.behaviour,
        "paused": pause.reason if pause else None,
        "messages": [shown.summary(_sight(mail.get(id))) for id in seen.watch.ids],
        "arrived": shown.arrivals(seen.smtp.arrived),
    }


@watching.get("/messages/<id>")
def story(id: str) -> Json:
    """What happened to one message so far."""
    return shown.story(_sight(mail.get(id)))


@watching.post("/messages/<id>/retry")
@own_pages_only
def retry(id: str) -> tuple[str, int]:
    """Try a message again that was given up."""
    mail.retry(id)
    return "", 204


@watching.post("/server")
@own_pages_only
def behave() -> tuple[str, int]:
    """Make the server ``behaviour``; a slow one takes ``seconds`` over each mail."""
    behaviour = request.form.get("behaviour")
    seconds = request.form.get("seconds", SLOW_SECONDS, type=float)
    if behaviour not in list(Behaviour):
        abort(400, f"behaviour is not one of: {', '.join(Behaviour)}.")
    if not 0 <= seconds <= SLOWEST_SECONDS:
        abort(400, f"seconds is not a number from 0 to {SLOWEST_SECONDS:.0f}.")
    try:
        watched().smtp.behave(Behaviour(behaviour), seconds)
    except OSError as error:
        abort(503, f"The SMTP server cannot come back: {error}. Restart the demo.")
    return "", 204


@watching.get("/arrived/<int:number>")
def arrived(number: int) -> Response:
    """One mail as the server got it, to be read."""
    paths = [one.path for one in watched().smtp.arrived if one.number == number]
    if not paths:
        abort(404, f"No mail {number} has arrived.")
    return send_file(paths[0], "text/plain")


def unfinished() -> list[MessageRecord]:
    """The messages that still wait for something."""
    sights = [_sight(mail.get(id)) for id in watched().watch.ids]
    return [sight.record for sight in sights if sight.unfinished]


def watched() -> Watched:
    """What the current app looks at."""
    seen: Watched = current_app.extensions["demo"]
    return seen


def _sight(record: MessageRecord) -> Sight:
    return Sight(record, watched().watch.pause, datetime.now(UTC))
