"""The app that the commands are for, as ``flask --app`` finds it in a process."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask

from flask_outbox import Mail, Message, events

mail = Mail()


def create_app(**config: Any) -> Flask:
    """A shop with one view; ``config`` comes on top of the ``FLASK_*`` environment."""
    app = Flask("shop")
    app.config.from_prefixed_env()
    app.config.update(config)
    app.template_folder = app.config.get("TEMPLATE_FOLDER")
    mail.init_app(app)
    if app.config.get("HANGS"):
        events.message_began.connect(_hang, app)

    @app.post("/send-email")
    def send_email() -> tuple[dict[str, str], int]:
        receipt = mail.send(Message("Welcome", ["ada@example.org"], "Hello Ada\n"))
        return {"id": receipt.id}, 202

    return app


def _hang(_app: Flask, **_: object) -> None:
    """Listen to a signal, and never come back."""
    time.sleep(3_600)
