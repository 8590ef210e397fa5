"""Mounting: putting the dashboard into an app, and never in front of its own pages."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, request, url_for

from ..config import LOCAL
from ..errors import ConfigError
from . import tokens
from .access import wants_no_token
from .blueprint import NAME, dashboard, runtime

Tell = Callable[[str | None, str], None]
"""Says where the dashboard opens, or None and why it does not."""


def mount(app: Flask, path: str, tell: Tell) -> None:
    """Put the dashboard below ``path``.

    Raises `ConfigError` where the app has routes there. For those that it adds later
    each request does so, before anything is answered. Where a browser must bring the
    app's token, ``tell`` is told the address with it, once in each process.
    """
    if NAME in app.blueprints:
        return
    _refuse_shared(app, path)
    app.register_blueprint(dashboard, url_prefix=path)
    app.before_request(_Look(app, path, tell))


class _Look:
    """Looks once, at the first request, when an app has all its routes."""

    def __init__(self, app: Flask, path: str, tell: Tell) -> None:
        self._app = app
        self._path = path
        self._tell = tell
        self._clear = False

    def __call__(self) -> None:
        if not self._clear:
            _refuse_shared(self._app, self._path)
            self._clear = True
            if runtime().settings.dashboard == LOCAL and not wants_no_token():
                _tell_of_token(self._app, self._tell)


def _tell_of_token(app: Flask, tell: Tell) -> None:
    try:
        token = tokens.token_of(app)
    except OSError as error:
        tell(None, str(error))
    else:
        path = url_for(f"{NAME}.overview", **{tokens.ARGUMENT: token}, _external=False)
        tell(f"{_here()}{path}", "")


def _here() -> str:
    """How this machine calls the server; "" where that has no port."""
    _, port = request.server or ("", None)
    return f"{request.scheme}://localhost:{port}" if port else ""


def _refuse_shared(app: Flask, path: str) -> None:
    for rule in app.url_map.iter_rules():
        ours = rule.endpoint.partition(".")[0] == NAME
        if not ours and f"{rule.rule}/".startswith(f"{path}/"):
            raise ConfigError(
                f"The app has a route {rule.rule!r} of its own ({rule.endpoint}), and "
                f"the dashboard would be at {path!r}: set OUTBOX_DASHBOARD_PATH to a "
                "path that is free."
            )
