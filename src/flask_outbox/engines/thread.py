"""The engine ``thread``: a courier in a background thread of the process that sends."""

from __future__ import annotations

import logging
import threading

from ..concurrency import Thread, new_loop, start_apart
from ..courier.context import CourierContext
from ..courier.courier import CLOSE_SECONDS, FLUSH_SECONDS, Courier
from ..log_context import about

RESTART_SECONDS = 1.0
"""How long after an unexpected error a new courier is started."""

_log = logging.getLogger("flask_outbox")


class CourierThread:
    """Runs a courier in a daemon thread until it is stopped, and replaces one that
    fails.
    """

    def __init__(self, context: CourierContext) -> None:
        self.courier: Courier = Courier(context)
        self._context = context
        self._stopped = threading.Event()
        self._drains = False
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._thread = Thread(target=self._run, name="outbox-courier", daemon=True)

    def start(self) -> None:
        """Start the thread; returns before the courier is ready."""
        start_apart(self._thread)

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until the courier accepts messages; False if time ran out."""
        return self._ready.wait(timeout_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs in this process; False in a forked child."""
        return self._thread.is_alive()

    def begin_stop(self, *, drain: bool = False) -> None:
        """Tell the courier to stop; returns at once.

        With ``drain``, it delivers what is due first; another call without that ends
        this.
        """
        self._drains = drain
        self._stopped.set()
        self.courier.stop(drain=drain)

    def stop(self, *, drain: bool = False) -> None:
        """Stop the courier, within the grace time and a few seconds for closing.

        With ``drain``, deliver what is due during that time.
        """
        self.begin_stop(drain=drain)
        if self._thread.is_alive():
            self._wait_for_end(
                self._context.grace_seconds + FLUSH_SECONDS + 2 * CLOSE_SECONDS
            )

    def _wait_for_end(self, seconds: float) -> None:
        """Wait for the end, even if another greenlet's `sys.exit` interrupts it under
        gevent.

        Not by ``join``: a thread whose ``join`` was interrupted counts as ended.
        """
        try:
            self._ended.wait(seconds)
        except SystemExit:
            self._ended.wait(seconds)
            raise

    def _run(self) -> None:
        try:
            with about(self._context.sender):
                self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        """Run a courier, and another whenever one fails; also one that drains, if it
        was told to before it began.
        """
        is_last = False
        while not is_last:
            is_last = self._stopped.is_set()
            if is_last and not self._drains:
                return
            if is_last:
                self.courier.stop(drain=True)
            loop = new_loop()
            try:
                loop.run_until_complete(self.courier.run(self._ready.set))
                return
            except BaseException:  # only `stop` may end this thread
                _log.exception("The courier failed unexpectedly; a new one is started.")
                self._stopped.wait(RESTART_SECONDS)
                self.courier = Courier(self._context)
            finally:
                loop.close()
