"""The app that the tour crashes: with a thread, or with the outbox.

``python -m flask_outbox.demo.tour.crash_app thread|outbox SMTP-PORT FOLDER`` serves it,
prints its address, and ends when its standard input closes.
"""

from __future__ import annotations

import logging
import sys
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from smtplib import SMTP
from threading import Thread
from typing import Any

from flask import Flask

from flask_outbox import Mail, Message, signals

from ..server import HOST
from ..shop import SETTINGS
from ..web import WebServer, listen

SUBJECT, SENDER, ADA = "Hello Ada", "demo@example.com", "ada@example.org"


def with_thread(smtp_port: int) -> Flask:
    """The app that sends in a thread."""
    app = Flask(__name__)

    @app.post("/send-email")
    def send_email() -> tuple[str, int]:
        Thread(target=deliver).start()
        return "Email sending started!", 202

    def deliver() -> None:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = SUBJECT, SENDER, ADA
        message["Message-ID"] = make_msgid(domain="example.com")
        with SMTP(HOST, smtp_port) as server:
            server.send_message(message)
        print("Email sent!", flush=True)

    return app


def with_outbox(smtp_port: int, folder: Path) -> Flask:
    """The app that sends by the outbox, in ``folder``."""
    app = Flask(__name__, instance_path=str(folder))
    app.config.update(SETTINGS, MAIL_URL=f"smtp://{HOST}:{smtp_port}")
    app.config["OUTBOX_LEASE_SECONDS"] = 2  # a dead courier is noticed sooner
    mail = Mail(app)

    @app.post("/send-email")
    def send_email() -> tuple[str, int]:
        mail.send(Message(SUBJECT, recipients=[ADA], sender=SENDER))
        return "Email sending started!", 202

    @signals.message_sent.connect_via(app)
    def say(_app: Flask, **_: Any) -> None:
        print("Email sent!", flush=True)

    @app.get("/record")
    def record() -> dict[str, int]:
        counts = mail.status().counts
        return {state: count for state, count in counts.items() if count}

    with app.app_context():
        mail.start()
    return app


def main(way: str, smtp_port: str, folder: str) -> None:
    """Serve until the parent process has ended."""
    logging.disable()
    port = int(smtp_port)
    app = with_thread(port) if way == "thread" else with_outbox(port, Path(folder))
    app.add_url_rule("/ping", view_func=lambda: ("", 204))
    web = WebServer(app, listen(0))
    web.start()
    print(web.address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
