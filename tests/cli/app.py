"""The commands' app, as ``flask --app`` imports it in a process."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask

from flask_outbox import Mail, Message, signals

mail = Mail()


def create_app(**config: Any) -> Flask:
    """A shop with one view; ``config`` overrides the ``FLASK_*`` environment."""
    app = Flask("shop")
    app.config.from_prefixed_env()
    app.config.update(config)
    app.template_folder = app.config.get("TEMPLATE_FOLDER")
    mail.init_app(app)
    if app.config.get("HANGS"):
        signals.message_began.connect(_hang, app)

    @app.post("/send-email")
    def send_email() -> tuple[dict[str, str], int]:
        receipt = mail.send(Message("Welcome", ["ada@example.org"], "Hello Ada\n"))
        return {"id": receipt.id}, 202

    return app


def _hang(_app: Flask, **_: object) -> None:
    """Connect to a signal, and never return."""
    time.sleep(3_600)
