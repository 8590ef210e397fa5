"""The demo: a mail server, an app and a web server in one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from flask_outbox import MessageNotFound, OutboxError, State, TransitionRefused
from flask_outbox.dashboard.security import ACCESS_ARGUMENT, access_token

from .resend import LocalResend
from .server import LocalServer
from .shop import INBOX, SETTINGS, Watch, mail, sending
from .smtp import LocalSmtp
from .tour import touring
from .tour.crash import Crashes
from .tour.run import Lessons
from .views import Watched, unfinished, watched, watching
from .web import CannotRun, WebServer, listen, protect

TRANSPORTS: Mapping[str, type[LocalServer]] = {
    "smtp": LocalSmtp,
    "resend": LocalResend,
}
"""The mail server of each ``--transport``."""

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def create_app(folder: Path, server: LocalServer) -> Flask:
    """The app, with its outbox in ``folder``; its mail is sent by ``server``."""
    app = Flask(__name__, instance_path=str(folder.resolve()))
    app.config.update(
        SETTINGS,
        MAIL_URL=server.url,
        MAIL_TRANSPORTS={INBOX: "inbox://"},
        OUTBOX_DASHBOARD="local",
    )
    app.before_request(_begin)
    app.after_request(_say_how_long_it_took)
    protect(app)
    mail.init_app(app)
    app.register_blueprint(sending)
    app.register_blueprint(watching)
    if isinstance(server, LocalSmtp):  # the tour's text is about SMTP
        app.register_blueprint(touring)
    app.register_error_handler(OutboxError, _explain)
    app.register_error_handler(HTTPException, _say_plainly)
    app.extensions["demo"] = Watched(
        server, Watch(app), Lessons(app, server), Crashes(folder)
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
    """Log one of our errors as text for people."""
    status = 503
    if isinstance(error, MessageNotFound):
        status = 404
    elif isinstance(error, TransitionRefused):
        status = 409
    return f"{error}\n", status, TEXT


def _say_plainly(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    return f"{error.description}\n", error.code or 500, TEXT


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    address: str
    opens_at: str
    """The address for a browser, with the token that opens the dashboard."""
    server: LocalServer
    folder: Path


@contextmanager
def running(port: int, keep: Path | None, transport: str = "smtp") -> Iterator[Demo]:
    """Run the demo inside the ``with`` block; afterwards stop all of it.

    ``transport`` is one of `TRANSPORTS`.

    The outbox and the arrived mails are stored in ``keep``, or deleted at the end. Mail
    that an earlier run left there is sent. Raises `CannotRun`, and `OutboxError` if the
    outbox cannot be used.
    """
    with ExitStack() as ending:
        listener = ending.enter_context(listen(port))
        folder = _folder(keep) if keep else Path(ending.enter_context(_passing()))
        server = TRANSPORTS[transport](folder / "arrived")
        server.start()
        ending.callback(server.stop)
        app = create_app(folder, server)
        web = WebServer(app, listener)
        with app.app_context():
            mail.start()
            # This opens the outbox, so that the first response does not wait for it.
            mail.drain(timeout_seconds=0)
            ending.callback(watched().crashes.stop)
        ending.callback(_drain, app, keep)
        web.start()
        ending.callback(web.stop)
        opens_at = f"{web.address}?{urlencode({ACCESS_ARGUMENT: access_token(app)})}"
        yield Demo(web.address, opens_at, server, folder)


def _passing() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="flask-outbox-demo-", ignore_cleanup_errors=True)


def _folder(keep: Path) -> Path:
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"{keep} cannot be used as a folder: {error.strerror}."
        ) from None
    return keep


def _drain(app: Flask, keep: Path | None) -> None:
    """Let the courier finish its attempts, and log what is left."""
    with app.app_context():
        if any(record.state is State.LEASED for record in unfinished()):
            _say("The courier finishes its attempts. Press Ctrl-C again to stop now.")
        mail.stop()
        left = unfinished()
    for record in left:
        _say(f"Still in the outbox: {record.subject}")
    if left and keep:
        _say(f"The next start with --keep {keep} delivers it.")
    elif left:
        _say("It is deleted with the demo; --keep DIR would have kept it.")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
