"""The page that a link to unsubscribe leads to, for people and for their providers.

Opening it changes nothing: scanners of mail follow every link. A POST does, without
cookies and without a redirect (RFC 8058 sections 3.1, 3.2), by whoever has the link.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request

from ..readying.leaving import ONE_CLICK
from ..runtime import Runtime
from .links import NAME, Way, read
from .rendering import page_of
from .standing import come_back, leave, standing_of

unsubscribe = Blueprint(NAME, __name__)

COME_BACK = "Subscribe=Again"
"""What the page posts for whoever has left by it and changes their mind."""

NOT_OURS = "It is damaged, or not from us. Use the link in the mail just as it is."
NOTHING_SAID = "What was sent asks for nothing. Open the link in a browser."


@unsubscribe.get("/<token>")
def page(token: str) -> Response:
    """Ask whether that is meant, or say that it is done."""
    way = read(current_app, token)
    return _standing(way) if way else _trouble(NOT_OURS, 404)


@unsubscribe.post("/<token>")
def answer(token: str) -> Response:
    """Do what was asked, once or again, and say how things stand."""
    way = read(current_app, token)
    if way is None:
        return _trouble(NOT_OURS, 404)
    if _says(ONE_CLICK):
        leave(_runtime(), way)
    elif _says(COME_BACK):
        come_back(_runtime(), way)
    else:
        return _trouble(NOTHING_SAID, 400)
    return _standing(way)


def _says(pair: str) -> bool:
    name, _, value = pair.partition("=")
    return request.form.get(name) == value


def _standing(way: Way) -> Response:
    standing = standing_of(_runtime(), way)
    return page_of(
        "outbox/unsubscribe.html",
        address=way.address,
        list=way.list,
        standing=standing,
    )


def _trouble(problem: str, status: int) -> Response:
    return page_of("outbox/unsubscribe_trouble.html", status, problem=problem)


def _runtime() -> Runtime:
    found: Runtime = current_app.extensions["outbox"].runtime
    return found


@unsubscribe.after_request
def _keep_to_itself(response: Response) -> Response:
    """Have the link not told to anyone, nor kept."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response
