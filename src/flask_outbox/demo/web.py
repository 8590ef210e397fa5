"""The demo's web server, and its protection from other sites' pages."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

from flask import Flask, Response, abort, request
from werkzeug import Response as WsgiResponse
from werkzeug.serving import make_server


class CannotRun(Exception):
    """The demo cannot start, or its check failed; the text says why."""


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
    """Answer only requests to the demo's own host names; no other page can use the
    answers.
    """
    app.before_request(_refuse_other_names)
    app.after_request(_add_headers)


def own_pages_only(view: Callable[P, R]) -> Callable[P, R]:
    """Refuse requests to a view from pages of other sites."""

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
    """Refuse a host name that someone else points to this machine (DNS rebinding)."""
    if urlsplit(request.host_url).hostname not in OWN_NAMES:
        abort(400, "The demo answers at http://127.0.0.1 only.")


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)  # the dashboard has its own protection
    return response


HOST = "127.0.0.1"

STOP_LOOK_SECONDS = 0.1
"""How often the server checks whether it should stop."""


def listen(port: int) -> socket.socket:
    """A socket that listens on ``port``, or on a free one for 0. Raises `CannotRun`."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = f"cannot be used: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            reason = "is taken by another program"
        raise CannotRun(
            f"port {port} {reason}. Choose another with --port, or --port 0 for any "
            "that is free."
        ) from None
    return listener


class WebServer:
    """Serves ``app`` on ``listener``, in its own threads."""

    def __init__(self, app: WSGIApplication, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        self.address: str = f"http://{HOST}:{port}/"
        self._server = make_server(HOST, port, app, threaded=True, fd=listener.fileno())
        listener.close()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(STOP_LOOK_SECONDS,),
            name="demo-web",
            daemon=True,
        )

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, also on connections that a browser opened in advance."""
        self._server.app = WsgiResponse(
            "The demo has ended.\n", 503, {"Connection": "close"}
        )
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
