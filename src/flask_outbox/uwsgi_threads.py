"""uWSGI without threads: a background thread gets no time there between requests."""

from __future__ import annotations

import sys
from typing import Any

from .errors import ConfigError

ALWAYS_THREADS = (2, 0, 27)
"""From this version on uWSGI knows no other way."""

_OPTIONS = ("enable-threads", "threads")


def refuse_without_threads() -> None:
    """Raise `ConfigError` where uWSGI would never let a courier thread run."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or _version(uwsgi) >= ALWAYS_THREADS:
        return
    options = {_text(name) for name in uwsgi.opt}
    if not options.intersection(_OPTIONS):
        raise ConfigError(
            "This uWSGI runs without threads, so no courier can work in it. Start it "
            "with --enable-threads, or set OUTBOX_ENGINE = 'external' and run "
            "'flask outbox worker'."
        )


def _version(uwsgi: Any) -> tuple[int, ...]:
    parts = _text(uwsgi.version).split(".")[:3]
    return tuple(int(part) for part in parts if part.isdigit())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
