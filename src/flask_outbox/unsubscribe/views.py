"""The page that an unsubscribe link opens, for people and for mail providers.

A GET changes nothing, as mail scanners follow every link. A POST by anyone with the
link unsubscribes, without cookies and without a redirect (RFC 8058 sections 3.1, 3.2).
An app may replace the page by its own template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    render_template,
    request,
)
from jinja2 import TemplateNotFound

from ..app_state import state_of
from ..errors import StoreError
from ..mounting import own_templates
from ..sending.feedback_headers import ONE_CLICK
from ..words import Catalogues, Words, languages_of_browser
from .links import LANGUAGE, NAME, Subscriber, come_back, leave, read, subscription_of

FOLDER = Path(__file__).parent

CATALOGUES: Catalogues = Catalogues(FOLDER / "locale", "unsubscribe")

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy of our own pages, which fetch nothing."""

_OWN_TEMPLATES = own_templates(FOLDER / "templates")


def words_of_request() -> Words:
    """The words in the language of the link, else in what the browser prefers."""
    return CATALOGUES.words([request.args.get(LANGUAGE, ""), *languages_of_browser()])


def render_page(template: str, status: int = 200, **names: Any) -> Response:
    """The page, rendered from ``template`` and ``names`` in the reader's language."""
    names["words"] = words_of_request()
    if _app_has(template):
        return make_response(render_template(template, **names), status)
    response = make_response(
        _OWN_TEMPLATES.get_template(template).render(names), status
    )
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _app_has(template: str) -> bool:
    try:
        current_app.jinja_env.get_template(template)
    except TemplateNotFound as missing:
        if missing.name == template:
            return False
        raise
    return True


unsubscribe: Blueprint = Blueprint(NAME, __name__)

COME_BACK = "Subscribe=Again"
"""What the page posts to subscribe again."""


@unsubscribe.get("/<token>")
def page(token: str) -> Response:
    """Ask for confirmation, or say that the address is unsubscribed."""
    subscriber = read(current_app, token)
    return _subscription_page(subscriber) if subscriber else _not_our_link()


@unsubscribe.post("/<token>")
def answer(token: str) -> Response:
    """Do what was requested, and say whether the address is subscribed now."""
    subscriber = read(current_app, token)
    if subscriber is None:
        return _not_our_link()
    if _asks_for(ONE_CLICK):
        leave(state_of(current_app).runtime, subscriber)
    elif _asks_for(COME_BACK):
        come_back(state_of(current_app).runtime, subscriber)
    else:
        words = words_of_request()
        return _error_page(
            words("This link does not work"),
            words("The request has no action. Open the link in a browser."),
            400,
        )
    return _subscription_page(subscriber)


def _asks_for(pair: str) -> bool:
    name, _, value = pair.partition("=")
    return request.form.get(name) == value


def _subscription_page(subscriber: Subscriber) -> Response:
    subscription = subscription_of(state_of(current_app).runtime, subscriber)
    return render_page(
        "outbox/unsubscribe.html",
        address=subscriber.address,
        list=subscriber.list,
        subscription=subscription,
    )


def _not_our_link() -> Response:
    words = words_of_request()
    return _error_page(
        words("This link does not work"),
        words(
            "The link is damaged, or not from us. Use it exactly as it is in the mail."
        ),
        404,
    )


@unsubscribe.errorhandler(StoreError)
def _out_of_order(error: StoreError) -> Response:
    current_app.logger.error("The unsubscribe page cannot be shown: %s", error)
    words = words_of_request()
    return _error_page(
        words("Please try again later"),
        words("We cannot do that just now. Open the link again in a few minutes."),
        503,
    )


def _error_page(title: str, problem: str, status: int) -> Response:
    return render_page(
        "outbox/unsubscribe_error.html",
        status,
        title=title,
        problem=problem,
        nothing_changed=status < 500,  # else it may have failed after the change
    )


@unsubscribe.after_request
def _keep_link_private(response: Response) -> Response:
    """Exclude the link, which is a secret, from caches, referrers and search
    engines.
    """
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response
