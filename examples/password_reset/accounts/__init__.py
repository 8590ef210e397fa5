"""Accounts with password reset."""

import click
from flask import Flask
from werkzeug.security import generate_password_hash

from .models import User, db
from .pages import pages
from .resets import VALID_SECONDS, mail


def create_app() -> Flask:
    """Create the app; environment variables FLASK_… override these settings."""
    app = Flask(__name__)
    app.config.from_mapping(
        TRUSTED_HOSTS=["127.0.0.1", "localhost"],
        SQLALCHEMY_DATABASE_URI="sqlite:///accounts.db",
        MAIL_URL="smtp://127.0.0.1:2525",
        MAIL_DEFAULT_SENDER=("Accounts", "accounts@example.com"),
        OUTBOX_GIVE_UP_AFTER={"password-reset": VALID_SECONDS},
    )
    app.config.from_prefixed_env()
    if not app.secret_key:
        raise RuntimeError("Set FLASK_SECRET_KEY: links are signed with it.")
    app.config["OUTBOX_URL"] = app.config["SQLALCHEMY_DATABASE_URI"]
    db.init_app(app)
    mail.init_app(app)
    app.register_blueprint(pages)
    app.cli.command("add-user")(add_user)
    with app.app_context():
        db.create_all()
    return app


@click.argument("email")
@click.password_option()
def add_user(email: str, password: str) -> None:
    """Add an account for the address EMAIL."""
    db.session.add(User(email=email, password_hash=generate_password_hash(password)))
    db.session.commit()
    click.echo(f"There is an account for {email} now.")
