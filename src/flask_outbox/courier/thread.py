"""A courier in a background thread of the process that sends."""

from __future__ import annotations

import logging
import threading

from ..loops import new_loop
from .courier import CLOSE_SECONDS, FLUSH_SECONDS, Courier
from .crew import Crew

RESTART_SECONDS = 1.0
"""How soon a courier that broke is replaced."""

_log = logging.getLogger("flask_outbox")


class CourierThread:
    """Runs one courier after another in a daemon thread, until it is stopped."""

    def __init__(self, crew: Crew) -> None:
        self.courier = Courier(crew)
        self._crew = crew
        self._stopped = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="outbox-courier", daemon=True
        )

    def start(self) -> None:
        """Begin; returns at once, before the courier is ready."""
        self._thread.start()

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Whether the courier could be offered messages within the time."""
        return self._ready.wait(timeout_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs, and in this process."""
        return self._thread.is_alive()

    def stop(self, *, drain: bool = False) -> None:
        """End within the grace time and the few seconds that tidying may take.

        With ``drain``, deliver until then what is due.
        """
        self._stopped.set()
        self.courier.stop(drain=drain)
        if self._thread.is_alive():
            self._wait_for_end(self._crew.grace_seconds + FLUSH_SECONDS + CLOSE_SECONDS)

    def _wait_for_end(self, seconds: float) -> None:
        """Wait even where another greenlet's `sys.exit` interrupts us, under gevent.

        Not by ``join``: a thread whose ``join`` was interrupted counts as ended.
        """
        try:
            self._ended.wait(seconds)
        except SystemExit:
            self._ended.wait(seconds)
            raise

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        while not self._stopped.is_set():
            loop = new_loop()
            try:
                loop.run_until_complete(self.courier.run(self._ready.set))
            except BaseException:  # nobody but us is to end this thread
                _log.exception("The courier broke; another takes its place.")
                self._stopped.wait(RESTART_SECONDS)
                self.courier = Courier(self._crew)
            finally:
                loop.close()
