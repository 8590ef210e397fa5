"""What a log line is about: which app, where several share a process, and what else."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any

NOBODY = "-"
"""The ``app`` of a line that is not about one app."""

FIELDS = (
    *("message_id", "lane", "courier", "attempt", "outcome", "batch", "trace_id"),
)
"""The attributes of a log record that say what it is about, where they are known."""


class _Here(threading.local):
    """What this thread's lines are about."""

    name = NOBODY
    payload: Mapping[str, Any] = MappingProxyType({})


_here = _Here()
_changing = threading.Lock()
_at_work: Counter[str] = Counter()
"""How many couriers work in this process, by the app's name."""


class about(AbstractContextManager[None]):
    """Inside the block, lines that this thread logs are about ``app``, which may be a
    weak reference, and about what the ``payload`` of a signal names, if one is given.

    A class, because a generator takes twice as long, and each signal enters one.
    """

    __slots__ = ("_before", "_name", "_payload")

    def __init__(self, app: object, payload: Mapping[str, Any] | None = None) -> None:
        self._name = name_of(app)
        self._payload = payload

    def __enter__(self) -> None:
        self._before = _here.name, _here.payload
        _here.name = self._name
        if self._payload is not None:
            _here.payload = self._payload

    def __exit__(self, *_: object) -> None:
        _here.name, _here.payload = self._before


@contextmanager
def courier_of(app: object) -> Iterator[None]:
    """Inside the block, lines that this thread logs are about ``app``.

    While couriers of several apps work in this process, each line names its app.
    """
    name = name_of(app)
    with _changing:
        _at_work[name] += 1
    try:
        with about(app):
            yield
    finally:
        with _changing:
            _at_work.subtract([name])


def name_of(app: Any) -> str:
    """The app's name; ``app`` may be a weak reference."""
    if isinstance(app, weakref.ref):
        app = app()
    return str(getattr(app, "name", NOBODY))


def add_context(record: logging.LogRecord) -> str:
    """Set the record's ``app`` and `FIELDS`; return the beginning of its text, which is
    usually "".

    What the line itself was given as ``extra`` comes first.
    """
    record.app = name = _here.name
    for field, value in _here.payload.items():
        if field in FIELDS and value is not None and not hasattr(record, field):
            setattr(record, field, value)
    others = any(count > 0 for other, count in list(_at_work.items()) if other != name)
    return f"[{name}] " if others and name != NOBODY else ""
