"""Our own pages in an app: below a path of their own, with templates of their own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flask import Blueprint, Flask
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .errors import ConfigError

METRICS = "outbox_metrics"
"""The name of the page of metrics, which may be below the dashboard."""


def mount(
    app: Flask, pages: Blueprint, path: str, key: str, beside: Collection[str] = ()
) -> bool:
    """Put ``pages`` below ``path``, which the config key ``key`` sets.

    False if the app has them already. Raises `ConfigError` if the app has a route of
    its own there, but for blueprints named in ``beside``. If it adds one later, every
    request raises it, before any view runs.
    """
    if pages.name in app.blueprints:
        return False
    place = _Place(app, {pages.name, *beside}, path, key)
    place.refuse_other_routes()
    app.register_blueprint(pages, url_prefix=path)
    app.before_request(place.check_once)
    return True


class _Place:
    def __init__(self, app: Flask, ours: set[str], path: str, key: str) -> None:
        self._app = app
        self._ours = ours
        self._path = path
        self._key = key
        self._is_checked = False

    def check_once(self) -> None:
        """Check again at the first request, when the app has all of its routes."""
        if not self._is_checked:
            self.refuse_other_routes()
            self._is_checked = True

    def refuse_other_routes(self) -> None:
        for rule in self._app.url_map.iter_rules():
            is_ours = rule.endpoint.partition(".")[0] in self._ours
            if not is_ours and f"{rule.rule}/".startswith(f"{self._path}/"):
                raise ConfigError(
                    f"The app has a route {rule.rule!r} ({rule.endpoint}) where "
                    f"Flask-Outbox's own pages would be: set {self._key} to another "
                    f"path than {self._path!r}."
                )


def own_templates(folder: Path) -> Environment:
    """The templates in ``folder``, independent of the app's own environment.

    An app may change its delimiters, its filters or its escaping.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
