"""The demo's page, and the JSON that it polls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
from flask_outbox.dashboard.pages import NAME as DASHBOARD
from flask_outbox.dashboard.security import ACCESS_ARGUMENT
from flask_outbox.status import MessageStatus

from . import shop
from .server import SLOW_SECONDS, Behaviour, LocalServer
from .shop import Json, Watch, mail
from .tour.crash import Crashes
from .tour.run import Lessons
from .web import own_pages_only

PAGES = {"dashboard": "overview", "inbox": "inbox", "previews": "previews"}
"""What the page calls the pages of the dashboard that it links to, and their views."""

SLOWEST_SECONDS = 600.0

watching: Blueprint = Blueprint("watching", __name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the routes of an app need."""

    server: LocalServer
    watch: Watch
    lessons: Lessons
    crashes: Crashes


@watching.get("/")
def page() -> str:
    """The page with the button *Send*.

    Its links to the dashboard pass on the token with which the page was opened; the
    token is shown in the terminal. Opened without the token, the page does not have it.
    """
    token: dict[str, Any] = {ACCESS_ARGUMENT: request.args.get(ACCESS_ARGUMENT)}
    return render_template(
        "demo.html",
        server=watched().server,
        slow_seconds=SLOW_SECONDS,
        tour=url_for("touring.tour") if "touring" in current_app.blueprints else None,
        order=url_for("sending.order", **token),
        pages={
            name: url_for(f"{DASHBOARD}.{view}", **token)
            for name, view in PAGES.items()
        },
    )


@watching.get("/ping")
def ping() -> tuple[str, int]:
    """Another request, by which the page shows that the app still answers."""
    return "", 204


@watching.get("/now")
def now() -> Json:
    """The server's behaviour, the lane, the latest messages, and the arrivals."""
    seen = watched()
    pause = seen.watch.pause
    return {
        "behaviour": seen.server.behaviour,
        "paused": pause.reason if pause else None,
        "messages": [shop.summary(_status(mail.get(id))) for id in seen.watch.ids],
        "arrived": shop.arrivals(seen.server.arrived),
    }


@watching.get("/messages/<id>")
def history(id: str) -> Json:
    """The history of one message so far."""
    return shop.message_history(_status(mail.get(id)))


@watching.post("/messages/<id>/retry")
@own_pages_only
def retry(id: str) -> tuple[str, int]:
    """Retry a failed message."""
    mail.retry(id)
    return "", 204


@watching.post("/server")
@own_pages_only
def behave() -> tuple[str, int]:
    """Set the server's behaviour; a slow one takes ``seconds`` for each mail."""
    behaviour = request.form.get("behaviour")
    seconds = request.form.get("seconds", SLOW_SECONDS, type=float)
    if behaviour not in list(Behaviour):
        abort(400, f"behaviour is not one of: {', '.join(Behaviour)}.")
    if not 0 <= seconds <= SLOWEST_SECONDS:
        abort(400, f"seconds is not a number from 0 to {SLOWEST_SECONDS:.0f}.")
    server = watched().server
    try:
        server.behave(Behaviour(behaviour), seconds)
    except OSError as error:
        abort(503, f"The {server.name} cannot come back: {error}. Restart the demo.")
    return "", 204


@watching.get("/arrived/<int:number>")
def arrived(number: int) -> Response:
    """A mail as the server received it."""
    paths = [one.path for one in watched().server.arrived if one.number == number]
    if not paths:
        abort(404, f"No mail {number} has arrived.")
    return send_file(paths[0], "text/plain")


def unfinished() -> list[MessageRecord]:
    """The messages that are not finished."""
    statuses = [_status(mail.get(id)) for id in watched().watch.ids]
    return [status.record for status in statuses if status.unfinished]


def watched() -> Watched:
    """The `Watched` of the current app."""
    seen: Watched = current_app.extensions["demo"]
    return seen


def _status(record: MessageRecord) -> MessageStatus:
    return MessageStatus(record, watched().watch.pause, datetime.now(UTC))
