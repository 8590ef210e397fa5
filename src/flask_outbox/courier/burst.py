"""Bursts: messages that are sent at the same time leave together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

BURST_PAUSE_SECONDS = 0.001
"""Whoever sends within this time after another message was sent is in its burst."""

BURST_SECONDS = 0.1
"""How long the messages of a burst wait at most."""


class Burst:
    """Messages that are sent together or in quick succession, by any threads.

    The courier shares the interpreter with those that send. It begins with the first
    message at once, and with the others when there is a pause: until then each would
    wait for the other at every message.
    """

    def __init__(self) -> None:
        self._senders: set[int] = set()
        """The threads that are sending."""
        self._ends_at = 0.0
        self._wait: _Wait | None = None
        """The wait that messages sent from now on share."""

    def __enter__(self) -> bool:
        """Begin to send a message; whether it is one of a burst."""
        self._senders.add(threading.get_ident())
        return len(self._senders) > 1 or time.monotonic() < self._ends_at

    def __exit__(self, *_: object) -> None:
        self._senders.discard(threading.get_ident())
        self._ends_at = time.monotonic() + BURST_PAUSE_SECONDS

    def begin_wait(self, courier: str) -> Callable[[], bool] | None:
        """Let messages wait for ``courier``: whether they have waited long enough; None
        if some wait for it already.
        """
        wait, now = self._wait, time.monotonic()
        if wait is not None and wait.courier == courier and now < wait.until:
            return None
        self._wait = wait = _Wait(courier, now + BURST_SECONDS)
        return partial(self._is_over, wait)

    def _is_over(self, wait: _Wait) -> bool:
        """Whether the wait is over; then it is shared no more."""
        now = time.monotonic()
        if now < wait.until and (self._senders or now < self._ends_at):
            return False
        if self._wait is wait:
            self._wait = None
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _Wait:
    """How long messages of a burst wait for a courier, at most."""

    courier: str
    until: float
