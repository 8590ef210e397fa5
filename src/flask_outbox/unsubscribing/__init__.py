"""Unsubscribing: signed links, and the page that they lead to."""

from .links import url_of
from .mounting import mount

__all__ = ["mount", "url_of"]
