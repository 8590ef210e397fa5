"""A newsletter: readers, issues to all of them, and one-click unsubscribing."""

from flask import Flask

from .commands import add_readers, send_issue
from .issues import TAG, mail
from .models import db
from .pages import pages


def create_app() -> Flask:
    """Create the app; environment variables FLASK_… override these settings."""
    app = Flask(__name__)
    app.config.from_mapping(
        SERVER_NAME="127.0.0.1:5000",
        SQLALCHEMY_DATABASE_URI="sqlite:///readers.db",
        MAIL_URL="smtp://127.0.0.1:2525",
        MAIL_DEFAULT_SENDER=("The Gazette", "gazette@example.com"),
        OUTBOX_ENGINE="external",
        OUTBOX_TAG_CONCURRENCY={TAG: 8},
        OUTBOX_UNSUBSCRIBE_PATH="/unsubscribe",
    )
    app.config.from_prefixed_env()
    if not app.secret_key:
        raise RuntimeError("Set FLASK_SECRET_KEY: links are signed with it.")
    db.init_app(app)
    mail.init_app(app)
    app.register_blueprint(pages)
    app.cli.command("add-readers")(add_readers)
    app.cli.command("send-issue")(send_issue)
    with app.app_context():
        db.create_all()
    return app
