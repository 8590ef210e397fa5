"""What any app does: a mail handed over by a view, which answers at once."""

from __future__ import annotations

from itertools import count

from flask import Blueprint, Response, url_for

from flask_outbox import Mail, Message

from .guard import own_pages_only
from .smtp import SLOW_SECONDS

SETTINGS = {
    "MAIL_DEFAULT_SENDER": ("The demo", "demo@example.com"),
    "MAIL_LOCAL_HOSTNAME": "localhost",
    "OUTBOX_URL": "sqlite:///outbox.db",
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

the app answered before any mail server was asked. By then this mail was in its outbox.

The demo of Flask-Outbox
"""

mail = Mail()
sending = Blueprint("sending", __name__)
numbers = count(1)


@sending.route("/send-email", methods=["GET", "POST"])
@own_pages_only
def send_email() -> Response:
    """Hand a mail over and answer at once; ``Location`` is where its story is told."""
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
        {"Location": url_for("watching.story", id=receipt.id)},
        mimetype="text/plain",
    )
