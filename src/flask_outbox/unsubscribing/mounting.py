"""Mounting: the page to unsubscribe on becomes a part of an app."""

from __future__ import annotations

from flask import Flask

from .links import NAME
from .pages import unsubscribe


def mount(app: Flask, path: str) -> None:
    """Put the page below ``path``, unless the app has it."""
    if NAME not in app.blueprints:
        app.register_blueprint(unsubscribe, url_prefix=path)
