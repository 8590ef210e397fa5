"""A till: each customer gets a receipt, with a PDF and the shop's logo."""

from flask import Flask

from .pages import pages
from .receipts import mail


def create_app() -> Flask:
    """Create the app; environment variables FLASK_… override these settings."""
    app = Flask(__name__)
    app.config.from_mapping(
        MAIL_URL="smtp://127.0.0.1:2525",
        MAIL_DEFAULT_SENDER=("The Stationery", "till@example.com"),
    )
    app.config.from_prefixed_env()
    mail.init_app(app)
    app.register_blueprint(pages)
    return app
