"""The dashboard: the outbox's messages, their history, and actions on them."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, request, url_for

from .. import mounting
from ..config import LOCAL
from . import pages, security, views
from .filters import refuse_wrong_views
from .pages import NAME, dashboard, runtime
from .security import wants_no_token

__all__ = ["mount", "pages", "refuse_wrong_views", "views"]


LogAddress = Callable[[str | None, str], None]
"""Says where the dashboard opens, or None and why it does not."""


def mount(app: Flask, path: str, say: LogAddress) -> None:
    """Put the dashboard below ``path``, unless the app has it.

    Raises `ConfigError` if the app has routes there; for routes added later, each
    request raises it. If a browser needs the app's token, ``say`` gets the address with
    the token, once in each process.
    """
    key, beside = "OUTBOX_DASHBOARD_PATH", [mounting.METRICS]
    if mounting.mount(app, dashboard, path, key, beside):
        app.before_request(_AddressAnnouncer(app, say))


class _AddressAnnouncer:
    """Says at the first request where the dashboard opens."""

    def __init__(self, app: Flask, say: LogAddress) -> None:
        self._app = app
        self._say = say
        self._is_over = False

    def __call__(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if runtime().settings.dashboard == LOCAL and not wants_no_token():
            _say_address(self._app, self._say)


def _say_address(app: Flask, say: LogAddress) -> None:
    try:
        token = security.access_token(app)
    except OSError as error:
        say(None, str(error))
    else:
        path = url_for(
            f"{NAME}.overview", **{security.ACCESS_ARGUMENT: token}, _external=False
        )
        say(f"{_local_server()}{path}", "")


def _local_server() -> str:
    """The server's address on this machine; "" if it has no port."""
    _, port = request.server or ("", None)
    return f"{request.scheme}://localhost:{port}" if port else ""
