"""Whether this process works, and whether the outbox can be used: for probes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from .alerts import Alert
from .concurrency import DaemonExecutor, call_untraced
from .courier import Courier
from .engines.thread import CourierThread
from .errors import SchemaError, StoreError
from .outbox import Outbox

STUCK_SECONDS = 60.0
"""A courier whose event loop has not answered for so long is stuck."""

CHECK_SECONDS = 3.0
"""How long a probe waits for the outbox, unless it says otherwise."""

FRESH_SECONDS = 1.0
"""How long the outcome of a check answers further probes."""

Clock = Callable[[], float]

_log = logging.getLogger("flask_outbox")


class CourierHealth(StrEnum):
    """What is known of the courier of this process."""

    NONE = "none"
    """There should be none: others deliver, or the process is ending."""
    RUNNING = "running"
    ENDED = "ended"
    """There should be one, and there is none."""
    STUCK = "stuck"
    """Its event loop has not answered for `STUCK_SECONDS`."""

    @property
    def well(self) -> bool:
        """Whether the process need not be restarted because of it."""
        return self in (CourierHealth.NONE, CourierHealth.RUNNING)


class OutboxHealth(StrEnum):
    """What is known of the outbox."""

    USABLE = "usable"
    """A write was durable just now."""
    UNUSABLE = "unusable"
    """It cannot be reached or written."""
    OTHER_SCHEMA = "other schema"
    """Its tables are missing, or of another version than this code's."""
    SILENT = "silent"
    """It has not answered within the time limit."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether mail can be enqueued."""

    outbox: OutboxHealth
    lanes_down: tuple[str, ...] = ()
    """The lanes whose transport fails. Mail for them is taken, and waits."""
    alerts: tuple[Alert, ...] = ()
    """Those that last (``OUTBOX_ALERTS``)."""
    trouble: str = ""
    """Why the outbox cannot be used: for the log, as it may name hosts and users."""

    @property
    def ready(self) -> bool:
        """Whether the outbox stores what is enqueued."""
        return self.outbox is OutboxHealth.USABLE


class CourierWatch:
    """Tells whether a courier's event loop still answers, without waiting for it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._asked: _Question | None = None

    def look(self, thread: CourierThread) -> CourierHealth:
        """What is known of ``thread``: from the answer to the last look's question."""
        if not thread.alive:
            return CourierHealth.ENDED
        asked = self._asked
        if asked is None or asked.courier is not thread.courier:
            self._ask(thread.courier)
        elif self._clock() - asked.at > STUCK_SECONDS:
            return CourierHealth.STUCK
        return CourierHealth.RUNNING

    def _ask(self, courier: Courier) -> None:
        self._asked = question = _Question(courier, self._clock())
        if not courier.ask(partial(self._answered, question)):
            self._answered(question)

    def _answered(self, question: _Question) -> None:
        if self._asked is question:
            self._asked = None


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    courier: Courier
    at: float


class ReadyCheck:
    """Checks an outbox for any number of probes, with one check at a time.

    However long the outbox hangs, that occupies one thread, and the time limit of all
    probes runs from the beginning of the check.
    """

    def __init__(self, outbox: Outbox, clock: Clock = time.monotonic) -> None:
        self._outbox = outbox
        self._clock = clock
        self._executor = DaemonExecutor()
        self._beginning = threading.Lock()
        self._check: Future[Readiness] | None = None
        self._began = 0.0

    def readiness(self, limit_seconds: float = CHECK_SECONDS) -> Readiness:
        """Whether the outbox could be used, at most `FRESH_SECONDS` ago."""
        try:
            check, began = self._current()
        except RuntimeError as error:  # no thread can be started
            return Readiness(OutboxHealth.UNUSABLE, trouble=f"No check runs: {error}.")
        try:
            return check.result(max(0.0, began + limit_seconds - self._clock()))
        except TimeoutError:
            return Readiness(
                OutboxHealth.SILENT,
                trouble=f"The outbox at {self._outbox.database.shown} has not answered "
                f"within {limit_seconds:g} s.",
            )

    def _current(self) -> tuple[Future[Readiness], float]:
        """The check that is under way or still fresh, and when it began."""
        with self._beginning:
            is_over = self._check is None or self._check.done()
            if self._check is None or (
                is_over and self._clock() - self._began > FRESH_SECONDS
            ):
                self._began = self._clock()
                self._check = self._executor.submit(call_untraced, self._look)
            return self._check, self._began

    def _look(self) -> Readiness:
        try:
            self._outbox.check_durable()
            return Readiness(
                OutboxHealth.USABLE, self._outbox.lanes_down(), self._outbox.alerts()
            )
        except SchemaError as error:
            return Readiness(OutboxHealth.OTHER_SCHEMA, trouble=str(error))
        except StoreError as error:
            return Readiness(OutboxHealth.UNUSABLE, trouble=str(error))
        except Exception as error:
            _log.exception("The outbox could not be checked.")
            return Readiness(OutboxHealth.UNUSABLE, trouble=repr(error))
