"""Relay: tells couriers in other processes what was committed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from . import events
from .backoff import backoff

BATCH = 100
"""How many messages are told of at once, at most."""

HINTS = 10_000
"""How many messages wait to be told of, at most: the oldest make way for the newest,
and couriers find them when they look by themselves."""

PACE_SECONDS = 0.01
"""The shortest time between two batches that are not full: the first message is told of
at once, and a stream of them in company."""

COMMIT_LOOK_SECONDS = 0.002
"""How often to look whether the app's commit is over: it takes about as long."""

BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS = 0.5, 5.0
"""How soon, and how late at most, it is tried again after trouble."""

STOP_SECONDS = 2.0
"""How long the end may take, whatever the way to the couriers is like."""


Over = Callable[[], bool]


def is_over() -> bool:
    """Of a commit that has ended: yes."""
    return True


class Relay(Protocol):
    """Tells couriers elsewhere that messages are there.

    The outbox is the truth and this a hint: nothing here blocks or raises, and what
    cannot be told, couriers find by themselves.
    """

    def committed(self, ids: Sequence[str], over: Over = is_over) -> None:
        """Tell of messages that are due, once the commit that keeps them is over."""

    def stop(self) -> None:
        """Tell what is still to be told, within a short time, and rest."""

    def after_fork_in_child(self) -> None:
        """Begin anew in a child process."""


class BatchingRelay:
    """A `Relay` that calls ``publish`` in a thread of its own, with batches of ids.

    ``publish`` may take its time, and may raise: then `events.relay_stalled` is sent by
    ``sender``, and the same batch is tried again, ever less often, until it is through.
    The thread begins with the first message.
    """

    def __init__(
        self, publish: Callable[[Sequence[str]], None], sender: object
    ) -> None:
        self._publish = publish
        self._sender = sender
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._hints: deque[tuple[str, Over]] = deque(maxlen=HINTS)
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def committed(self, ids: Sequence[str], over: Over = is_over) -> None:
        """Tell of messages that are due, once the commit that keeps them is over."""
        self._hints.extend((one, over) for one in ids)
        self._news.set()
        with suppress(RuntimeError):  # too late: the process is ending
            self._see_that_it_works()

    def stop(self) -> None:
        """Tell what is still to be told, within `STOP_SECONDS`, and rest.

        What is told to it later begins it anew.
        """
        thread = self._thread
        self._stopping.set()
        self._news.set()
        if thread is not None:
            thread.join(STOP_SECONDS)

    def after_fork_in_child(self) -> None:
        """Begin anew: what the parent was told, the parent passes on."""
        self._begin_anew()

    def _see_that_it_works(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._start()

    def _start(self) -> None:
        self._stopping = threading.Event()
        thread = threading.Thread(
            target=self._run, args=[self._stopping], name="outbox-relay", daemon=True
        )
        thread.start()
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
        """Up to a batch of those that are committed; the others wait on."""
        batch: list[str] = []
        for _ in range(len(self._hints)):
            message_id, over = hint = self._hints.popleft()
            if over():
                batch.append(message_id)
            else:
                self._hints.append(hint)
            if len(batch) == BATCH:
                break
        return batch

    def _tell(self, batch: Sequence[str], stopping: threading.Event) -> None:
        """Publish a batch however long it takes, but once we stop, try only once."""
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
                events.emit(events.relay_stalled, self._sender, error=error)
            return False
        if failures:
            events.emit(events.relay_resumed, self._sender, failures=failures)
        return True
