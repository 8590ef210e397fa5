"""Several workers in forked processes, and a supervisor that replaces killed ones."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from types import FrameType

from ..concurrency import Thread
from ..courier import CourierContext
from ..errors import ConfigError, StoreError
from .shutdown import SIGNALS, graceful_shutdown
from .worker import Worker, WorkerResult, total_result

RESTART_SECONDS, RESTART_CAP_SECONDS = 1.0, 30.0
"""The first and the longest wait before a process that ended early is replaced; the
wait doubles each time."""

STEADY_SECONDS = 10.0
"""A process that ran for this long is replaced at once."""

TIDY_SECONDS = 5.0
"""How long after the grace time a process may take to end, see
`docs/process-models.rst`."""


@contextmanager
def _loaded_uncollected() -> Iterator[None]:
    """Keep Python's garbage collector from what the app has loaded, which stays: a full
    collection would stop all deliveries for as long as some hundreds of them take.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_loaded_uncollected()
def run_workers(
    context: CourierContext, app: object, processes: int, *, until_drained: bool
) -> WorkerResult:
    """Deliver in this process, or in ``processes`` forked ones, until told to stop.

    With ``until_drained``, also stop when no due message can leave. SIGINT and SIGTERM
    stop it within the grace time. Raises `ConfigError` if the system cannot fork, and
    what `Worker.run` raises.
    """
    if processes == 1:
        worker = Worker(context, app)
        with graceful_shutdown(worker.stop, context.grace_seconds):
            return worker.run(until_drained=until_drained)
    if not hasattr(os, "fork"):
        raise ConfigError(
            "This system cannot fork: start several workers instead of one with "
            "--processes."
        )
    supervisor = Supervisor(
        processes, lambda: Worker(context, app), context.grace_seconds
    )
    with graceful_shutdown(
        supervisor.stop, context.grace_seconds, supervisor.end_at_once
    ):
        return supervisor.run(until_drained=until_drained)


@dataclass(slots=True)
class Slot:
    """One process at a time, and when the next one begins."""

    begins_at: float = 0.0
    """When its process began, or when the next one begins; ``inf`` for never."""
    failures: int = 0
    """How many of its processes in a row ended early."""
    process: BaseProcess | None = None
    line: connection.Connection | None = None
    """The pipe on which the process sends its result at its end."""


class Supervisor:
    """Runs workers in forked processes, and replaces those that are killed.

    The supervisor opens no connection and starts no thread, so each fork is safe. It
    has one end of a pipe, and the workers watch the other. When the pipe closes,
    because the supervisor stops or was killed, they shut down within the grace time;
    one that does not is ended by an alarm of the system. So no worker is left behind.
    """

    def __init__(
        self, count: int, make_worker: Callable[[], Worker], grace_seconds: float
    ) -> None:
        self._make_worker = make_worker
        self._kill_after_seconds = grace_seconds + TIDY_SECONDS
        self._slots = [Slot() for _ in range(count)]
        self._results: list[WorkerResult] = []
        self._faults: list[str] = []
        self._trouble: StoreError | None = None
        self._until_drained = False
        self._ended = ""
        self._watched, self._held = os.pipe()

    def run(self, *, until_drained: bool) -> WorkerResult:
        """Deliver until told to stop, or with ``until_drained`` until nothing is due.

        Raises what `Worker.run` raises in one of the workers, once all have ended.
        """
        self._until_drained = until_drained
        while self._anyone():
            for slot in self._slots:
                if slot.process is None and slot.begins_at <= time.monotonic():
                    self._begin(slot)
            self._wait()
        if self._trouble is not None:
            raise self._trouble
        down = any(one.ended == "down" for one in self._results)
        ended = self._ended or ("down" if down else "drained")
        return total_result(self._results, ended, self._faults)

    def stop(self, why: str) -> None:
        """Have all workers shut down; calling it again changes nothing."""
        if not self._ended:
            self._ended = why
            os.close(self._held)

    def end_at_once(self, number: int, _frame: FrameType | None) -> None:
        """Kill all workers, and end as a process does that does not catch the
        signal.
        """
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def _anyone(self) -> bool:
        """Whether any process runs, or is to begin."""
        if self._ended:
            return any(slot.process for slot in self._slots)
        return any(slot.begins_at < inf for slot in self._slots)

    def _wait(self) -> None:
        """Wait until a process ends, one is to begin, or the supervisor is told to
        stop.
        """
        at_work = {one.process.sentinel: one for one in self._slots if one.process}
        empty = [one.begins_at for one in self._slots if one.process is None]
        begins_at = inf if self._ended else min(empty, default=inf)
        seconds = None if begins_at == inf else max(0.0, begins_at - time.monotonic())
        told = [] if self._ended else [self._watched]
        if not (at_work or told):
            return
        ready = connection.wait([*at_work, *told], seconds)
        for sentinel, slot in at_work.items():
            if sentinel in ready:
                self._end(slot)

    def _begin(self, slot: Slot) -> None:
        """Fork while signals are blocked, so that none reaches a half-started
        process.
        """
        with _signals_blocked():
            if self._ended:
                return
            forks = get_context("fork")
            slot.line, theirs = forks.Pipe(duplex=False)
            slot.process = forks.Process(target=self._work, args=[theirs])
            slot.process.start()
            theirs.close()
            slot.begins_at = time.monotonic()

    def _end(self, slot: Slot) -> None:
        """Store the result of a process that has ended, and plan the next one."""
        assert slot.process
        assert slot.line
        result: WorkerResult | StoreError | None = None
        with suppress(EOFError), slot.line as line:
            result = line.recv()
        process, slot.process = slot.process, None
        process.join()
        if isinstance(result, StoreError):
            self._trouble = result
        elif result is not None:
            self._results.append(result)
        if not (self._until_drained or self._ended):
            self._replace(slot, process)
        else:
            slot.begins_at = inf
            if result is None:
                self._faults.append(f"{_end_of(process)}.")
        process.close()

    def _replace(self, slot: Slot, process: BaseProcess) -> None:
        seconds = 0.0
        if time.monotonic() - slot.begins_at > STEADY_SECONDS:
            slot.failures = 0
        else:
            seconds = min(RESTART_CAP_SECONDS, RESTART_SECONDS * 2**slot.failures)
            slot.failures += 1
        slot.begins_at = time.monotonic() + seconds
        sys.stderr.write(f"{_end_of(process)}; a new one starts in {seconds:g} s.\n")
        sys.stderr.flush()

    # In a process of its own

    def _work(self, line: connection.Connection) -> None:
        """Run a worker in this process; repeated signals do not interrupt it."""
        os.close(self._held)
        worker = self._make_worker()
        for one in SIGNALS:
            signal.signal(one, lambda *_: worker.stop("told"))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        Thread(target=self._watch, args=[worker], daemon=True).start()
        try:
            result: WorkerResult | StoreError = worker.run(
                until_drained=self._until_drained
            )
        except StoreError as error:
            result = error
        with suppress(OSError):  # the supervisor is gone
            line.send(result)

    def _watch(self, worker: Worker) -> None:
        """Stop when the supervisor does, or is gone.

        The system's alarm ends this process even if nothing in it responds.
        """
        connection.wait([self._watched])
        signal.setitimer(signal.ITIMER_REAL, self._kill_after_seconds)
        worker.stop("told")


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that stop the supervisor during the block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code < 0:
        return f"Process {process.pid} was ended by {signal.Signals(-code).name}"
    return f"Process {process.pid} ended with exit code {code}"
