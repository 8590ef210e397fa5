"""Flask-Mail itself, and our drop-in for it, side by side."""

from __future__ import annotations

from email import charset
from importlib import import_module
from types import ModuleType
from typing import Any

from flask_outbox import flask_mail as drop_in


def _imported(name: str) -> ModuleType:
    """The module, without the charset that it sets for the whole process."""
    before = dict(charset.CHARSETS)
    try:
        return import_module(name)
    finally:
        charset.CHARSETS.update(before)


flask_mail: Any = _imported("flask_mail")
ours: Any = drop_in

PEERS = {"flask_mail": flask_mail, "drop-in": ours}
