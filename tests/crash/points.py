"""The named points of an attempt, and how a process is stopped at one of them.

The package is patched in the process that is to be stopped.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask_outbox.courier.recorder import Recorder
from flask_outbox.outbox import Database, Outbox, claim
from flask_outbox.transports.smtp.protocol import SmtpLink


def before(owner: Any, name: str, call: Callable[..., None]) -> None:
    """Have ``call`` called with the arguments of each call of ``owner.name``."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any) -> Any:
        call(*arguments)
        return original(*arguments)

    setattr(owner, name, patched)


def after(owner: Any, name: str, call: Callable[..., None]) -> None:
    """Have ``call`` called with the result and the arguments of each call."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any) -> Any:
        answer = original(*arguments)
        call(answer, *arguments)
        return answer

    setattr(owner, name, patched)


def within(owner: Any, name: str, lock: AbstractContextManager[Any]) -> None:
    """Have each call of ``owner.name`` made with ``lock`` held."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **options: Any) -> Any:
        with lock:
            return original(*arguments, **options)

    setattr(owner, name, patched)


def is_final_dot(data: bytes | memoryview) -> bool:
    """Whether ``data`` completes the content."""
    return bytes(data).endswith(b"\r\n.\r\n")


@dataclass(frozen=True)
class Point:
    """A step of the package, before or after a call of ``owner.name``.

    ``counts`` is asked with what `before` or `after` is told: not every call is such a
    step.
    """

    patch: Callable[[Any, str, Callable[..., None]], None]
    owner: Any
    name: str
    counts: Callable[..., Any] = lambda *_: True

    def tell(self, passing: Callable[[], None]) -> None:
        """From now on, call ``passing`` whenever this process reaches the point."""

        def call(*arguments: Any) -> None:
            if self.counts(*arguments):
                passing()

        self.patch(self.owner, self.name, call)


def _has_owner(
    _receipts: object, _outbox: object, _new: object, owner: str | None = None
) -> bool:
    return owner is not None


def _has_records(_lost: object, _where: object, records: Any, *_: object) -> bool:
    return bool(records)


ENQUEUEING = "after enqueueing under a lease"
CLAIM = "after a claim"
BEGINNING = "after the beginning is written"
RARE = {ENQUEUEING: 1, CLAIM: 4, BEGINNING: 1}
"""Points that are not on the way of every attempt; how often a courier surely comes
there."""

POINTS: Mapping[str, Point] = {
    ENQUEUEING: Point(after, Outbox, "enqueue", _has_owner),
    CLAIM: Point(after, Outbox, "claim", lambda claims, *_: claims),
    BEGINNING: Point(after, Outbox, "begin"),
    "before MAIL": Point(
        before, SmtpLink, "transmit", lambda _, data: bytes(data).startswith(b"MAIL")
    ),
    "before the final dot": Point(
        before, SmtpLink, "transmit", lambda _, data: is_final_dot(data)
    ),
    "after the final dot": Point(
        after, SmtpLink, "transmit", lambda _, __, data: is_final_dot(data)
    ),
    "after the reply": Point(before, Recorder, "add"),
    "in the middle of a record": Point(
        before, claim.write_replies, "run", lambda _, rows: rows
    ),
    "before a record's commit": Point(after, claim, "record", _has_records),
    "after a record's commit": Point(after, Outbox, "record", _has_records),
}
"""The steps from a lease to its record."""


@dataclass(frozen=True)
class Stop:
    """Stops a process by a signal when it passes a point for the ``passes``-th time.

    SIGKILL ends it there, whatever else it does at this moment. SIGSTOP has it stand
    still until somebody lets it go on, but never in the middle of a transaction of
    another thread: that would keep everybody else from an SQLite file.
    """

    point: str
    passes: int = 1
    signal: signal.Signals = signal.SIGKILL

    def arm(self) -> None:
        """Patch this process."""
        passed = 0
        counting = threading.Lock()
        writing: AbstractContextManager[Any] = nullcontext()
        if self.signal == signal.SIGSTOP:
            writing = threading.Lock()
            within(Database, "write", writing)

        def passing() -> None:
            nonlocal passed
            with counting:
                passed += 1
                if passed == self.passes:
                    with writing:
                        signal.pthread_kill(threading.get_ident(), self.signal)

        POINTS[self.point].tell(passing)
