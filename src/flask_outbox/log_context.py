"""What a log line is about: which app, where several share a process, and what else."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

NOBODY = "-"
"""The ``app`` of a line that is not about one app."""

FIELDS = (
    *("message_id", "lane", "courier", "attempt", "outcome", "batch", "trace_id"),
)
"""The attributes of a log record that say what it is about, where they are known."""


class _Subject(NamedTuple):
    """What lines are about."""

    name: str = NOBODY
    payload: Mapping[str, Any] = MappingProxyType({})


_NOTHING = _Subject()
_here: ContextVar[_Subject] = ContextVar("outbox_log_subject", default=_NOTHING)


class _Served:
    """The apps that this process serves, which it does not keep alive."""

    def __init__(self) -> None:
        self._apps: tuple[weakref.ref[Any], ...] = ()
        self._changing = threading.Lock()
        self.current: Callable[[], object] = lambda: None
        """Returns the current app, or None."""

    def add(self, app: object) -> None:
        with self._changing:
            others = (one for one in self._apps if one() not in (None, app))
            self._apps = (*others, weakref.ref(app))

    def other_than(self, name: str) -> bool:
        """Whether one of them has another name."""
        alive = (app for one in self._apps if (app := one()) is not None)
        return any(name_of(app) != name for app in alive)


_served = _Served()


def serve(app: object, current: Callable[[], object]) -> None:
    """Have each line name its app from now on, if an app of another name is served by
    this process, too. Lines outside any `about` are about the ``current()`` app.
    """
    _served.add(app)
    _served.current = current


class about(AbstractContextManager[None]):
    """Inside the block, lines are about ``app``, and about what the ``payload`` of a
    signal names, if one is given.

    The app may be a weak reference, or its name. What the block starts has the same
    subject: its tasks, its calls of ``asyncio.to_thread``, and each
    `flask_outbox.concurrency.Thread`.

    A class, because a generator takes twice as long, and each signal enters one.
    """

    __slots__ = ("_before", "_name", "_payload")

    def __init__(self, app: object, payload: Mapping[str, Any] | None = None) -> None:
        self._name = name_of(app)
        self._payload = payload

    def __enter__(self) -> None:
        self._before = before = _here.get()
        payload = before.payload if self._payload is None else self._payload
        _here.set(_Subject(self._name, payload))

    def __exit__(self, *_: object) -> None:
        _here.set(self._before)


def name_of(app: Any) -> str:
    """The app's name; ``app`` may be a weak reference, or the name."""
    if isinstance(app, weakref.ref):
        app = app()
    return app if isinstance(app, str) else str(getattr(app, "name", NOBODY))


def name_here() -> str:
    """The name of the app that lines are about here; `NOBODY` if there is none."""
    name = _here.get().name
    return name if name != NOBODY else name_of(_served.current())


def add_context(record: logging.LogRecord) -> str:
    """Set the record's ``app`` and `FIELDS`; return the beginning of its text, which is
    usually "".

    What the line itself was given as ``extra`` comes first.
    """
    record.app = name = name_here()
    for field, value in _here.get().payload.items():
        if field in FIELDS and value is not None and not hasattr(record, field):
            setattr(record, field, value)
    return f"[{name}] " if name != NOBODY and _served.other_than(name) else ""
