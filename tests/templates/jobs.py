"""What these tests have done by processes that are killed."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL

from flask_outbox import Mail, signals
from flask_outbox.outbox import claim
from flask_outbox.transports.smtp.protocol import SmtpLink
from tests.crash.jobs import Config
from tests.crash.points import Point, after, before, is_final_dot
from tests.mail.site import make_app

POINTS: dict[str, Point] = {
    "rendered, before it is kept": Point(
        before, claim, "store_renditions", lambda _, rendered: rendered
    ),
    "before the commit that keeps it": Point(
        after, claim, "store_renditions", lambda _, __, rendered: rendered
    ),
    "kept, before it is sent": Point(
        before, SmtpLink, "transmit", lambda _, data: bytes(data).startswith(b"MAIL")
    ),
    "after the final dot": Point(
        after, SmtpLink, "transmit", lambda _, __, data: is_final_dot(data)
    ),
}


def deliver(
    line: Connection, config: Config, templates: str, point: str | None
) -> None:
    """Deliver what is due; killed at a point, or until the first mail is sent.

    No two renderings are alike.
    """
    app = make_app(Path.cwd(), **config)
    app.template_folder = templates
    app.add_template_global(lambda: os.urandom(8).hex(), "dice")
    mail = Mail(app)
    if point is not None:
        POINTS[point].tell(lambda: os.kill(os.getpid(), SIGKILL))
    signals.message_sent.connect(lambda _app, **_: line.send("sent"), app, weak=False)
    with app.app_context():
        mail.start()
        line.recv()
        mail.stop()
