"""The app that these recipes run; put yours in its place."""

from flask import Flask
from flask_outbox import Mail, Message

mail = Mail()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(OUTBOX_ENGINE="external", OUTBOX_HEALTH_PATH="/health/mail")
    app.config.from_prefixed_env()
    mail.init_app(app)

    @app.post("/send-email")
    def send_email() -> tuple[dict[str, str], int]:
        receipt = mail.send(
            Message("Welcome", recipients=["ada@example.org"], body="Hello Ada")
        )
        return {"id": receipt.id}, 202

    return app
