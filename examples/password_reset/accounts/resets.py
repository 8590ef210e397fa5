"""Resets: the mail with the link, and the link's validity."""

from flask import current_app, render_template, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import delete, select
from werkzeug.security import generate_password_hash

from flask_outbox import Mail, Message

from .models import PasswordReset, User, db

VALID_SECONDS = 3_600
"""How long a link is valid, and how long its mail is retried."""

mail = Mail()


def ask_for_reset(email: str) -> None:
    """Add a reset and its mail to the transaction, if the address has an account."""
    user = db.session.scalar(select(User).where(User.email == email))
    if user is None:
        return
    reset = PasswordReset(user=user)
    db.session.add(reset)
    db.session.flush()
    link = url_for("pages.choose", token=_signer().dumps(reset.id), _external=True)
    body = render_template("mail.txt", link=link)
    mail.send(
        # Not the typed address: a database may find Ada's account by ADÁ@example.org.
        Message("Choose a new password", [user.email], body),
        tag="password-reset",
        priority=10,
        sensitive=True,
        session=db.session,
    )


def reset_behind(token: str) -> PasswordReset | None:
    """The reset for the link; None if it is forged, expired or used."""
    try:
        reset_id = _signer().loads(token, max_age=VALID_SECONDS)
    except BadSignature:
        return None
    return db.session.get(PasswordReset, reset_id)


def use(reset: PasswordReset, password: str) -> bool:
    """Set the password and delete the user's resets; False if it was used already."""
    user = reset.user
    resets = delete(PasswordReset).where(PasswordReset.user_id == user.id)
    if reset.id not in db.session.scalars(resets.returning(PasswordReset.id)).all():
        return False
    user.password_hash = generate_password_hash(password)
    return True


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        current_app.config["SECRET_KEY"], salt="password-reset"
    )
