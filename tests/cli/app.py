"""The app that the commands are for, as ``flask --app`` finds it in a process."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_outbox import Mail, Message

mail = Mail()


def create_app(**config: Any) -> Flask:
    """A shop with one view; ``config`` comes on top of the ``FLASK_*`` environment."""
    app = Flask("shop")
    app.config.from_prefixed_env()
    app.config.update(config)
    mail.init_app(app)

    @app.post("/send-email")
    def send_email() -> tuple[dict[str, str], int]:
        receipt = mail.send(Message("Welcome", ["ada@example.org"], "Hello Ada\n"))
        return {"id": receipt.id}, 202

    return app
