"""The demo's Flask app: what a project does to send mail, and a page to watch it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    render_template,
    request,
    send_file,
    url_for,
)

from flask_outbox import (
    Mail,
    Message,
    MessageNotFound,
    MessageRecord,
    OutboxError,
    TransitionRefused,
)

from . import shown
from .guard import own_pages_only, protect
from .picture import Sight
from .shown import Json
from .smtp import HOST, SLOW_SECONDS, Behaviour, LocalSmtp
from .watch import Watch

SETTINGS = {
    "MAIL_DEFAULT_SENDER": ("The demo", "demo@example.com"),
    "MAIL_LOCAL_HOSTNAME": "localhost",
    # A person watches: what takes minutes elsewhere takes seconds here.
    "OUTBOX_BACKOFF_BASE_SECONDS": 2,
    "OUTBOX_BACKOFF_CAP_SECONDS": 5,
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": 3,
    "OUTBOX_UNKNOWN_WAIT_SECONDS": 5,
    # So that a mail that the slow server has in hand is finished at the end.
    "OUTBOX_GRACE_SECONDS": SLOW_SECONDS + 2,
}

BODY = """\
Hello Ada,

the app answered before any mail server was asked. This mail was in its outbox by then.

The demo of Flask-Outbox
"""

mail = Mail()
pages = Blueprint("demo", __name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes of one app work with."""

    smtp: LocalSmtp
    watch: Watch
    numbers: count[int] = field(default_factory=lambda: count(1))


def create_app(folder: Path, smtp: LocalSmtp) -> Flask:
    """Make the app, with its outbox in ``folder`` and its mail leaving by ``smtp``."""
    app = Flask(__name__, instance_path=str(folder.resolve()))
    app.config.update(SETTINGS, MAIL_URL=f"smtp://{HOST}:{smtp.port}")
    protect(app)
    app.before_request(_begin)
    app.after_request(_say_how_long_it_took)
    mail.init_app(app)
    app.register_blueprint(pages)
    app.register_error_handler(OutboxError, _explain)
    app.extensions["demo"] = Parts(smtp, Watch(app))
    return app


# ------------------------------------------------------------------- what an app does


@pages.route("/send-email", methods=["GET", "POST"])
@own_pages_only
def send_email() -> Response:
    """Hand a mail over and answer at once; `Location` says where to ask for it."""
    receipt = mail.send(
        Message(
            f"Hello Ada, number {next(_parts().numbers)}",
            recipients=["ada@example.org"],
            body=BODY,
        )
    )
    return Response(
        "Email sending started!",
        202,
        {"Location": url_for("demo.story", id=receipt.id)},
        mimetype="text/plain",
    )


# ----------------------------------------------------------------------- to watch it


@pages.get("/")
def page() -> str:
    """The page where a person presses *Send*."""
    return render_template("demo.html", slow_seconds=SLOW_SECONDS)


@pages.get("/ping")
def ping() -> tuple[str, int]:
    """Any other request: the page's heartbeat."""
    return "", 204


@pages.get("/now")
def now() -> Json:
    """The server's behaviour, the lane, the latest messages, and what has arrived."""
    parts = _parts()
    return {
        "behaviour": parts.smtp.behaviour,
        "paused": parts.watch.pause and parts.watch.pause.reason,
        "messages": [shown.summary(_sight(mail.get(id))) for id in parts.watch.ids],
        "arrived": shown.arrivals(parts.smtp.arrived),
    }


@pages.get("/messages/<id>")
def story(id: str) -> Json:
    """What happened to one message so far."""
    return shown.story(_sight(mail.get(id)))


@pages.post("/messages/<id>/retry")
@own_pages_only
def retry(id: str) -> tuple[str, int]:
    """Try a message again that was given up."""
    mail.retry(id)
    return "", 204


@pages.post("/server")
@own_pages_only
def behave() -> tuple[str, int]:
    """Make the server ``behaviour``; a slow one takes ``seconds`` over a mail."""
    try:
        behaviour = Behaviour(request.form["behaviour"])
    except ValueError:
        abort(400, f"behaviour is not one of: {', '.join(Behaviour)}.")
    seconds = request.form.get("seconds", SLOW_SECONDS, type=float)
    try:
        _parts().smtp.behave(behaviour, seconds)
    except OSError as error:
        abort(503, f"The SMTP server cannot come back: {error}. Restart the demo.")
    return "", 204


@pages.get("/arrived/<int:number>")
def arrived(number: int) -> Response:
    """One mail as the server got it, to be read."""
    for one in _parts().smtp.arrived:
        if one.number == number:
            return send_file(one.path, "text/plain")
    abort(404, f"No mail {number} has arrived.")


def unfinished() -> list[str]:
    """The subjects of the messages that still wait for something."""
    sights = [_sight(mail.get(id)) for id in _parts().watch.ids]
    return [sight.record.subject for sight in sights if sight.unfinished]


def _parts() -> Parts:
    parts: Parts = current_app.extensions["demo"]
    return parts


def _sight(record: MessageRecord) -> Sight:
    return Sight(record, _parts().watch.pause, datetime.now(UTC))


def _explain(error: OutboxError) -> tuple[str, int, dict[str, str]]:
    """Say in the response what a person should know of an error of ours."""
    statuses = {MessageNotFound: 404, TransitionRefused: 409}
    status = statuses.get(type(error), 503)
    return f"{error}\n", status, {"Content-Type": "text/plain; charset=utf-8"}


def _begin() -> None:
    g.demo_began = time.perf_counter()


def _say_how_long_it_took(response: Response) -> Response:
    took = time.perf_counter() - g.get("demo_began", time.perf_counter())
    response.headers["Server-Timing"] = f"app;dur={took * 1000:.2f}"
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response
