"""The demo's Flask app, put together."""

from __future__ import annotations

import time
from pathlib import Path

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from flask_outbox import MessageNotFound, OutboxError, TransitionRefused

from .crashes import Crashes
from .guard import protect
from .lessons import Lessons
from .sending import SETTINGS, mail, sending
from .smtp import HOST, LocalSmtp
from .tour import touring
from .watch import Watch
from .watching import Watched, watching

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def create_app(folder: Path, smtp: LocalSmtp) -> Flask:
    """Make the app, with its outbox in ``folder`` and its mail leaving by ``smtp``."""
    app = Flask(__name__, instance_path=str(folder.resolve()))
    app.config.update(
        SETTINGS, MAIL_URL=f"smtp://{HOST}:{smtp.port}", OUTBOX_DASHBOARD="local"
    )
    app.before_request(_begin)
    app.after_request(_say_how_long_it_took)
    protect(app)
    mail.init_app(app)
    app.register_blueprint(sending)
    app.register_blueprint(watching)
    app.register_blueprint(touring)
    app.register_error_handler(OutboxError, _explain)
    app.register_error_handler(HTTPException, _say_plainly)
    app.extensions["demo"] = Watched(
        smtp, Watch(app), Lessons(app, smtp), Crashes(folder)
    )
    return app


def _begin() -> None:
    g.demo_began = time.perf_counter()


def _say_how_long_it_took(response: Response) -> Response:
    took_ms = (time.perf_counter() - g.demo_began) * 1000
    response.headers["Server-Timing"] = f"app;dur={took_ms:.2f}"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _explain(error: OutboxError) -> tuple[str, int, dict[str, str]]:
    """Say what a person should know of an error of ours."""
    status = 503
    if isinstance(error, MessageNotFound):
        status = 404
    elif isinstance(error, TransitionRefused):
        status = 409
    return f"{error}\n", status, TEXT


def _say_plainly(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    return f"{error.description}\n", error.code or 500, TEXT
