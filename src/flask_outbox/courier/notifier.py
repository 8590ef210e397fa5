"""Tells couriers in other processes that a message was committed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from .. import signals
from ..concurrency import Thread, start_apart
from ..limits import backoff
from ..outbox.session import CommitIsOver

BATCH = 100
"""How many messages are published at once, at most."""

HINTS = 10_000
"""How many messages wait to be published, at most. When there are more, the oldest are
dropped; couriers find those when they poll."""

PACE_SECONDS = 0.01
"""The shortest time between two batches that are not full: the first message is
published at once, and a stream of them in batches."""

COMMIT_LOOK_SECONDS = 0.002
"""How often to check whether the app's commit has ended: a commit takes about as
long."""

BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS = 0.5, 5.0
"""The first and the longest wait before publishing is retried after a failure."""

STOP_SECONDS = 2.0
"""How long stopping may take, even if publishing hangs."""


def committed_already() -> bool:
    """Stand for a commit that has already ended."""
    return True


class WakeupNotifier(Protocol):
    """Tells couriers in other processes that messages are due.

    It is only a hint, as the outbox has everything: nothing here blocks or raises, and
    what cannot be published, couriers find when they poll.
    """

    def committed(
        self, ids: Sequence[str], is_over: CommitIsOver = committed_already
    ) -> None:
        """Tell of messages that are due, once the commit that keeps them is over."""

    def stop(self) -> None:
        """Publish what still waits, within a short time, and stop."""

    def after_fork_in_child(self) -> None:
        """Start empty in a child process."""


class BatchingNotifier:
    """Calls ``publish`` with batches of ids, in a thread of its own.

    ``publish`` may block and may raise. If it raises, ``sender`` sends the signal
    `notifier_stalled`, and the same batch is retried with growing waits until it
    succeeds; then `notifier_resumed` is sent. The thread starts with the first message.
    """

    def __init__(
        self, publish: Callable[[Sequence[str]], None], sender: object
    ) -> None:
        self._publish = publish
        self._sender = sender
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._hints: deque[tuple[str, CommitIsOver]] = deque(maxlen=HINTS)
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: Thread | None = None

    def committed(
        self, ids: Sequence[str], is_over: CommitIsOver = committed_already
    ) -> None:
        """Tell of messages that are due, once the commit that keeps them is over."""
        self._hints.extend((one, is_over) for one in ids)
        self._news.set()
        with suppress(RuntimeError):  # too late: the process is ending
            self._see_that_it_works()

    def stop(self) -> None:
        """Publish what still waits, within `STOP_SECONDS`, and stop.

        A later call of `committed` starts it again.
        """
        thread = self._thread
        self._stopping.set()
        self._news.set()
        if thread is not None:
            thread.join(STOP_SECONDS)

    def after_fork_in_child(self) -> None:
        """Start empty in a child process: the parent publishes its own hints."""
        self._begin_anew()

    def _see_that_it_works(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._start()

    def _start(self) -> None:
        self._stopping = threading.Event()
        thread = Thread(
            target=self._run, args=[self._stopping], name="outbox-notifier", daemon=True
        )
        start_apart(thread)
        self._thread = thread

    def _run(self, stopping: threading.Event) -> None:
        while self._hints or not stopping.is_set():
            self._news.wait(COMMIT_LOOK_SECONDS if self._hints else None)
            self._news.clear()
            while batch := self._gather():
                self._tell(batch, stopping)
                if len(batch) < BATCH:
                    stopping.wait(PACE_SECONDS)

    def _gather(self) -> list[str]:
        """Take up to a batch of committed messages; the others go on waiting."""
        batch: list[str] = []
        for _ in range(len(self._hints)):
            message_id, is_over = hint = self._hints.popleft()
            if is_over():
                batch.append(message_id)
            else:
                self._hints.append(hint)
            if len(batch) == BATCH:
                break
        return batch

    def _tell(self, batch: Sequence[str], stopping: threading.Event) -> None:
        """Publish a batch, retrying until it succeeds; when stopping, try only once."""
        failures = 0
        while not self._published(batch, failures):
            failures += 1
            wait_seconds = backoff(
                failures,
                base_seconds=BACKOFF_BASE_SECONDS,
                cap_seconds=BACKOFF_CAP_SECONDS,
            )
            if stopping.wait(wait_seconds):
                self._hints.clear()
                return

    def _published(self, batch: Sequence[str], failures: int) -> bool:
        try:
            self._publish(batch)
        except Exception as error:
            if not failures:
                signals.emit(signals.notifier_stalled, self._sender, error=error)
            return False
        if failures:
            signals.emit(signals.notifier_resumed, self._sender, failures=failures)
        return True
