"""The demo's shop: a view that sends a mail, and the page's JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from flask_outbox import Mail, Message, signals
from flask_outbox.history import Step, describe
from flask_outbox.status import LanePause, MessageStatus

from .server import SLOW_SECONDS, Arrival
from .web import own_pages_only

MESSAGES = 12
"""How many messages are remembered: as many as the page shows."""


class Watch:
    """Listens to the signals of one app. ``ids`` are its messages, the newest first.

    A message is included from its hand-over or, if an earlier run left it, from its
    first attempt.
    """

    def __init__(self, app: Flask) -> None:
        self.pause: LanePause | None = None
        self.ids: tuple[str, ...] = ()
        self._adding = Lock()
        for signal in (
            signals.message_enqueued,
            signals.message_rescued,
            signals.message_began,
        ):
            signal.connect(self._message, sender=app)
        signals.lane_paused.connect(self._paused, sender=app)
        signals.lane_resumed.connect(self._resumed, sender=app)

    def _message(self, _app: Flask, message_id: str, **_: Any) -> None:
        with self._adding:
            if message_id not in self.ids:
                self.ids = (message_id, *self.ids)[:MESSAGES]

    def _paused(self, _app: Flask, reason: str, seconds: float, **_: Any) -> None:
        self.pause = LanePause(reason, datetime.now(UTC) + timedelta(seconds=seconds))

    def _resumed(self, _app: Flask, **_: Any) -> None:
        self.pause = None


ARRIVALS = 12
"""How many arrived mails the page lists."""

Json = dict[str, Any]


def message_history(status: MessageStatus) -> Json:
    """One message, with its steps and its execution table."""
    record = status.record
    return {
        **summary(status),
        "rfc_message_id": record.rfc_message_id,
        "responded": status.responded,
        "stages": [asdict(stage) for stage in status.stages],
        "rows": [_row(step, record.events[0].at) for step in describe(record)],
    }


def summary(status: MessageStatus) -> Json:
    """One line of the list of messages."""
    return {
        "id": status.record.id,
        "subject": status.record.subject,
        "state": status.record.state,
        "summary": status.summary,
        "unfinished": status.unfinished,
    }


def arrivals(arrived: Iterable[Arrival]) -> list[Json]:
    """The latest arrivals, the newest first; ``again`` marks repeated ones."""
    seen: set[str] = set()
    listed = []
    for one in arrived:
        listed.append(
            {
                "number": one.number,
                "at": one.at.isoformat(),
                "subject": one.subject,
                "known_as": one.known_as,
                "again": one.known_as in seen,
            }
        )
        seen.add(one.known_as)
    return listed[: -ARRIVALS - 1 : -1]


def after(passed: timedelta) -> str:
    """A time since the start: "+12 ms"."""
    seconds = passed.total_seconds()
    return f"+{seconds * 1000:.0f} ms" if seconds < 10 else f"+{seconds:.1f} s"


def _row(step: Step, beginning: datetime) -> Json:
    return {
        "step": step.number,
        "after": after(step.event.at - beginning),
        "what": step.what,
        "background": step.background,
        "request": step.request,
        "output": step.output,
    }


SETTINGS: dict[str, Any] = {
    "MAIL_DEFAULT_SENDER": ("The demo", "demo@example.com"),
    "MAIL_LOCAL_HOSTNAME": "localhost",
    "OUTBOX_URL": "sqlite:///outbox.db",
    # A person is watching: waits of minutes are shortened to seconds.
    "OUTBOX_BACKOFF_BASE_SECONDS": 2,
    "OUTBOX_BACKOFF_CAP_SECONDS": 5,
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": 3,
    "OUTBOX_UNKNOWN_WAIT_SECONDS": 5,
    # Long enough to finish an attempt with the slow server at the end.
    "OUTBOX_GRACE_SECONDS": SLOW_SECONDS + 2,
}

INBOX = "inbox"
"""The name of the transport whose mail stays in the dev inbox."""

BODY = """\
Hello Ada,

the app answered before any mail server was asked. By then this mail was in its outbox.

The demo of Flask-Outbox
"""

mail: Mail = Mail()
sending: Blueprint = Blueprint("sending", __name__)
numbers: count[int] = count(1)


@sending.route("/send-email", methods=["GET", "POST"])
@own_pages_only
def send_email() -> Response:
    """Send a mail and answer at once; ``Location`` is the URL of its history."""
    receipt = mail.send(
        Message(
            f"Hello Ada, number {next(numbers)}",
            recipients=["ada@example.org"],
            body=BODY,
        )
    )
    return Response(
        "Email sending started!",
        202,
        {"Location": url_for("watching.history", id=receipt.id)},
        mimetype="text/plain",
    )


@mail.preview
def receipt(name: str = "Ada", kettles: int = 2) -> Message:
    """What a customer gets after an order."""
    number = 2026_114
    return Message(
        f"Your order {number}",
        recipients=["ada@example.org"],
        body=f"Thank you, {name}! Your order {number} is on its way.\n",
        html=render_template("receipt.html", name=name, kettles=kettles, number=number),
    )


@sending.post("/order")
@own_pages_only
def order() -> AnyResponse:
    """Send a receipt that stays in the dev inbox, and go back to the same page."""
    mail.send(receipt(), transport=INBOX, tag="orders")
    asked: dict[str, Any] = request.args.to_dict()
    return redirect(url_for("watching.page", **asked), 303)
