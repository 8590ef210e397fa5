"""Unsubscribing: signed links, and the page that they open."""

from __future__ import annotations

from flask import Flask

from .links import url_of

__all__ = ["mount", "url_of"]


def mount(app: Flask, path: str) -> None:
    """Add the page below ``path``, unless the app has it.

    Raises `ConfigError` if the app has routes there; if they are added later, each
    request raises it.
    """
    from .. import mounting
    from .views import unsubscribe

    mounting.mount(app, unsubscribe, path, "OUTBOX_UNSUBSCRIBE_PATH")
