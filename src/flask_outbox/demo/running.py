"""The demo as a whole: a mail server, an app and a web server in one process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from flask import Flask

from flask_outbox import State
from flask_outbox.dashboard.tokens import ARGUMENT, token_of

from .app import create_app
from .errors import CannotRun
from .sending import mail
from .smtp import LocalSmtp
from .watching import unfinished, watched
from .web import WebServer, listen


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs."""

    address: str
    opens_at: str
    """The address for a person's browser, with the token that opens the dashboard."""
    smtp: LocalSmtp
    folder: Path


@contextmanager
def running(port: int, keep: Path | None) -> Iterator[Demo]:
    """Run the demo inside the ``with`` block; afterwards nothing of it is left.

    ``keep`` is where outbox and arrived mails are kept, else they go with the demo.
    Mail that an earlier run left there goes out. Raises `CannotRun`, and `OutboxError`
    where the outbox cannot be used.
    """
    with ExitStack() as ending:
        listener = ending.enter_context(listen(port))
        folder = _folder(keep) if keep else Path(ending.enter_context(_passing()))
        smtp = LocalSmtp(folder / "arrived")
        smtp.start()
        ending.callback(smtp.stop)
        app = create_app(folder, smtp)
        web = WebServer(app, listener)
        with app.app_context():
            mail.start()
            mail.drain(timeout=0)  # opens the outbox: the first response shall not wait
            ending.callback(watched().crashes.stop)
        ending.callback(_drain, app, keep)
        web.start()
        ending.callback(web.stop)
        opens_at = f"{web.address}?{urlencode({ARGUMENT: token_of(app)})}"
        yield Demo(web.address, opens_at, smtp, folder)


def _passing() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="flask-outbox-demo-", ignore_cleanup_errors=True)


def _folder(keep: Path) -> Path:
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(f"{keep} cannot be used as folder: {error.strerror}.") from None
    return keep


def _drain(app: Flask, keep: Path | None) -> None:
    """Let the courier finish what it has begun, and say what is left."""
    with app.app_context():
        if any(record.state is State.LEASED for record in unfinished()):
            _say("The courier finishes what it has begun. Ctrl-C again ends it now.")
        mail.stop()
        left = unfinished()
    for record in left:
        _say(f"Still in the outbox: {record.subject}")
    if left and keep:
        _say(f"The next start with --keep {keep} delivers it.")
    elif left:
        _say("It goes with the demo; --keep DIR would have kept it.")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
