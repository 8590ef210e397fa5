"""Jinja as the app has it, and what is different in mail."""

from __future__ import annotations

from collections import ChainMap
from typing import Any

from flask import Flask
from jinja2 import Environment, StrictUndefined

from .images import mail_image
from .links import url_for


def mail_environment(app: Flask) -> Environment:
    """The app's own environment with its filters, tests, globals and loaders.

    A value that is missing is an error there, since nobody sees the gap before it is
    sent; ``url_for`` gives whole addresses; and a template that has changed is read
    again, so that what failed can be mended and retried without a restart.
    """
    environment = app.jinja_env.overlay(
        undefined=StrictUndefined, auto_reload=True, enable_async=False
    )
    own: dict[str, Any] = {"url_for": url_for, "mail_image": mail_image}
    globals_: Any = ChainMap(own, app.jinja_env.globals)
    environment.globals = globals_
    return environment
