"""A shop whose mail is delivered by Celery's workers, on any number of machines."""

from celery import Celery, Task
from flask import Flask, request

from flask_outbox import Mail, Message

mail = Mail()


def create_app() -> Flask:
    """Create the app; environment variables FLASK_… override these settings."""
    app = Flask(__name__)
    app.config.from_mapping(
        MAIL_URL="smtp://127.0.0.1:2525",
        MAIL_DEFAULT_SENDER="shop@example.com",
        OUTBOX_URL="postgresql+psycopg://postgres@127.0.0.1/shop",
        OUTBOX_ENGINE="celery",
        CELERY={
            "broker_url": "amqp://guest:guest@127.0.0.1//",
            "task_ignore_result": True,
            "task_routes": {"flask_outbox.*": {"queue": "mail"}},
            "beat_schedule": {
                "outbox": {
                    "task": "flask_outbox.sweep",
                    "schedule": 5.0,
                    "options": {"expires": 5.0},
                }
            },
        },
    )
    app.config.from_prefixed_env()
    celery_init_app(app)
    mail.init_app(app)

    @app.post("/send-email")
    def send_email() -> tuple[dict[str, str], int]:
        address = request.form["to"]
        receipt = mail.send(Message("Welcome", [address], "Good to have you here.\n"))
        return {"id": receipt.id}, 202

    @app.get("/emails/<id>")
    def email(id: str) -> dict[str, str]:
        return {"state": mail.get(id).state}

    return app


def celery_init_app(app: Flask) -> Celery:
    """Create the Celery app, as in Flask's documentation."""

    class FlaskTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app
