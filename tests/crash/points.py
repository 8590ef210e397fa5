"""The named points of an attempt, and how a process is stopped at one of them.

The package knows nothing of this: it is patched, in the process that is to stop.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask_outbox.courier.recorder import Recorder
from flask_outbox.outbox import leases
from flask_outbox.outbox.store import Outbox
from flask_outbox.transports.smtp_link import SmtpLink

Passing = Callable[[], None]


def before(owner: Any, name: str, call: Callable[..., Any]) -> None:
    """Have ``call`` called with the arguments of each call of ``owner.name``."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        call(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, patched)


def after(owner: Any, name: str, call: Callable[..., Any]) -> None:
    """Have ``call`` called with the answer and the arguments of each such call."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        answer = original(*arguments, **named)
        call(answer, *arguments, **named)
        return answer

    setattr(owner, name, patched)


def is_final_dot(data: bytes | memoryview) -> bool:
    """Whether this piece of a dialogue completes the content."""
    return bytes(data).endswith(b"\r\n.\r\n")


def _after_enqueue(passing: Passing) -> None:
    def call(_receipts: object, _outbox: object, _new: object, owner: str | None = None):
        if owner is not None:
            passing()

    after(Outbox, "enqueue", call)


def _after_claim(passing: Passing) -> None:
    after(Outbox, "claim", lambda claims, *_: claims and passing())


def _after_begin(passing: Passing) -> None:
    after(Outbox, "begin", lambda *_: passing())


def _before_mail(passing: Passing) -> None:
    before(
        SmtpLink,
        "command",
        lambda _link, line, _timeout: line.startswith(b"MAIL") and passing(),
    )


def _before_final_dot(passing: Passing) -> None:
    before(SmtpLink, "write", lambda _link, data: is_final_dot(data) and passing())


def _after_final_dot(passing: Passing) -> None:
    after(SmtpLink, "write", lambda _, _link, data: is_final_dot(data) and passing())


def _after_reply(passing: Passing) -> None:
    before(Recorder, "add", lambda *_: passing())


def _within_record(passing: Passing) -> None:
    before(leases._answer, "run_many", lambda _connection, rows: rows and passing())


def _before_record_commits(passing: Passing) -> None:
    after(leases, "record", lambda _lost, _, records, _notes: records and passing())


def _after_record(passing: Passing) -> None:
    after(Outbox, "record", lambda _lost, _, records, _notes: records and passing())


HAND_OVER = "after a hand-over under a lease"

POINTS: Mapping[str, Callable[[Passing], None]] = {
    HAND_OVER: _after_enqueue,
    "after a claim": _after_claim,
    "after the beginning is written": _after_begin,
    "before MAIL": _before_mail,
    "before the final dot": _before_final_dot,
    "after the final dot": _after_final_dot,
    "after the reply": _after_reply,
    "in the middle of a record": _within_record,
    "before a record's commit": _before_record_commits,
    "after a record's commit": _after_record,
}
"""Each step from a lease to its record, and how to be told that it is passed."""


@dataclass(frozen=True)
class Stop:
    """Where a process stops: at the ``passes``-th passing of a point, by a signal.

    SIGKILL ends it there; SIGSTOP has it stand still until somebody lets it go on.
    """

    point: str
    passes: int = 1
    signal: signal.Signals = signal.SIGKILL

    def arm(self) -> None:
        """Patch this process, for good."""
        passed = 0
        counting = threading.Lock()

        def passing() -> None:
            nonlocal passed
            with counting:
                passed += 1
                if passed == self.passes:
                    os.kill(os.getpid(), self.signal)

        POINTS[self.point](passing)
