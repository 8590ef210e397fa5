"""The pages: sign in, ask for a link, choose a new password."""

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from werkzeug.security import check_password_hash

from .models import User, db
from .resets import ask_for_reset, reset_behind, use

pages = Blueprint("pages", __name__)


@pages.route("/", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Ask for address and password, and check them."""
    if request.method == "GET":
        return render_template("sign_in.html")
    email, password = request.form["email"], request.form["password"]
    user = db.session.scalar(select(User).where(User.email == email))
    if user is None or not check_password_hash(user.password_hash, password):
        return render_template("sign_in.html", wrong=True), 403
    return render_template("signed_in.html", user=user)


@pages.route("/forgot", methods=["GET", "POST"])
def forgot() -> ResponseReturnValue:
    """Send a link; the response does not reveal who has an account."""
    if request.method == "GET":
        return render_template("forgot.html")
    ask_for_reset(request.form["email"])
    db.session.commit()
    return render_template("asked.html", email=request.form["email"])


@pages.route("/choose/<token>", methods=["GET", "POST"])
def choose(token: str) -> ResponseReturnValue:
    """Let the owner of the link choose a password; only that uses up the link."""
    reset = reset_behind(token)
    if reset is None:
        return render_template("gone.html"), 410
    if request.method == "GET":
        return render_template("choose.html")
    if not use(reset, request.form["password"]):
        return render_template("gone.html"), 410
    db.session.commit()
    return redirect(url_for("pages.sign_in", chosen=1), 303)


@pages.after_request
def keep_links_secret(response: Response) -> Response:
    """Keep the link out of referrers and caches."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
