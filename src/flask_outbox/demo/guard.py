"""Guard: what other web pages in the same browser may not do to the demo."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request

P = ParamSpec("P")
R = TypeVar("R")

OWN_NAMES = {"127.0.0.1", "localhost"}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def protect(app: Flask) -> None:
    """Answer only under the demo's own names; let no other page use the answers."""
    app.before_request(_refuse_other_names)
    app.after_request(_add_headers)


def own_pages_only(view: Callable[P, R]) -> Callable[P, R]:
    """Let people, programs and the demo's own page call a view, and no other page."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        own = request.host_url.rstrip("/")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none"):
            abort(403, "Only the demo's own page may do this.")
        if request.headers.get("Origin", own) != own:
            abort(403, "Only the demo's own page may do this.")
        return view(*args, **kwargs)

    return guarded


def _refuse_other_names() -> None:
    """A name that a stranger made point to this machine is not ours (DNS rebinding)."""
    if urlsplit(request.host_url).hostname not in OWN_NAMES:
        abort(400, "The demo answers at http://127.0.0.1 only.")


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)  # the dashboard has its own
    return response
