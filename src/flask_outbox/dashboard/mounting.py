"""Mounting: putting the dashboard into an app, and never in front of its own pages."""

from __future__ import annotations

from flask import Flask

from ..errors import ConfigError
from .blueprint import NAME, dashboard


def mount(app: Flask, path: str) -> None:
    """Put the dashboard below ``path``.

    Raises `ConfigError` where the app has routes there. For those that it adds later
    each request does so, before anything is answered.
    """
    if NAME in app.blueprints:
        return
    _refuse_shared(app, path)
    app.register_blueprint(dashboard, url_prefix=path)
    app.before_request(_Look(app, path))


class _Look:
    """Looks once, at the first request, when an app has all its routes."""

    def __init__(self, app: Flask, path: str) -> None:
        self._app = app
        self._path = path
        self._clear = False

    def __call__(self) -> None:
        if not self._clear:
            _refuse_shared(self._app, self._path)
            self._clear = True


def _refuse_shared(app: Flask, path: str) -> None:
    for rule in app.url_map.iter_rules():
        ours = rule.endpoint.partition(".")[0] == NAME
        if not ours and f"{rule.rule}/".startswith(f"{path}/"):
            raise ConfigError(
                f"The app has a route {rule.rule!r} of its own ({rule.endpoint}), and "
                f"the dashboard would be at {path!r}: set OUTBOX_DASHBOARD_PATH to a "
                "path that is free."
            )
