"""Processes: several shifts side by side, and one process that watches over them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from types import FrameType

import click

from ..errors import StoreError
from .obeying import SIGNALS
from .outcome import Outcome, total
from .shift import ENDS, Shift

RESTART_SECONDS, RESTART_CAP_SECONDS = 1.0, 30.0
"""How soon a process that ended early is replaced; the wait doubles each time."""

STEADY_SECONDS = 10.0
"""A process that worked for so long is replaced at once."""

TIDY_SECONDS = 5.0
"""What a process may take beyond the grace time, see `docs/process-models.rst`."""


@dataclass(slots=True)
class Place:
    """Room for one process at a time."""

    begins_at: float = 0.0
    """When its process began, or else when the next one does; ``inf`` for never."""
    failures: int = 0
    """How many ended early, one after the other."""
    process: BaseProcess | None = None
    line: connection.Connection | None = None
    """On which the process says at its end what came of it."""


class Processes:
    """Runs shifts in forked processes, and replaces those that are killed.

    This process opens no connection and starts no thread, so that each fork is safe.
    It holds one end of a pipe, and the others watch its other end: when that closes,
    because this process is told to stop or was killed, they wind down within the grace
    time, and one that does not is ended by the system. So none is left behind.
    """

    def __init__(
        self, count: int, make_shift: Callable[[], Shift], grace_seconds: float
    ) -> None:
        self._make_shift = make_shift
        self._patience_seconds = grace_seconds + TIDY_SECONDS
        self._places = [Place() for _ in range(count)]
        self._outcomes: list[Outcome] = []
        self._faults: list[str] = []
        self._trouble: StoreError | None = None
        self._until_drained = False
        self._ended = ""
        self._watched, self._held = os.pipe()

    def run(self, *, until_drained: bool) -> Outcome:
        """Deliver until told to stop, or with ``until_drained`` until nothing is due.

        Raises what `Shift.run` raises in one of them, once all have ended.
        """
        self._until_drained = until_drained
        while self._anyone():
            for place in self._places:
                if place.process is None and place.begins_at <= time.monotonic():
                    self._begin(place)
            self._wait()
        if self._trouble is not None:
            raise self._trouble
        down = any(one.ended == "down" for one in self._outcomes)
        ended = self._ended or ("down" if down else "drained")
        return total(self._outcomes, ended, list(ENDS), self._faults)

    def stop(self, why: str) -> None:
        """Have all wind down; calling it again changes nothing."""
        if not self._ended:
            self._ended = why
            os.close(self._held)

    def end_at_once(self, number: int, _frame: FrameType | None) -> None:
        """Kill all, and end as a signal ends a process that does not handle it."""
        for place in self._places:
            if place.process is not None:
                place.process.kill()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def _anyone(self) -> bool:
        """Whether a process works, or one is to begin."""
        if self._ended:
            return any(place.process for place in self._places)
        return any(place.begins_at < inf for place in self._places)

    def _wait(self) -> None:
        """Wait until a process ends, one is to begin, or we are told to stop."""
        at_work = {one.process.sentinel: one for one in self._places if one.process}
        empty = [one.begins_at for one in self._places if one.process is None]
        begins_at = inf if self._ended else min(empty, default=inf)
        seconds = None if begins_at == inf else max(0.0, begins_at - time.monotonic())
        told = [] if self._ended else [self._watched]
        if not (at_work or told):
            return
        ready = connection.wait([*at_work, *told], seconds)
        for sentinel, place in at_work.items():
            if sentinel in ready:
                self._end(place)

    def _begin(self, place: Place) -> None:
        """Fork; signals wait meanwhile, so that none finds a process half made."""
        with _deaf():
            if self._ended:
                return
            forks = get_context("fork")
            place.line, theirs = forks.Pipe(duplex=False)
            place.process = forks.Process(target=self._work, args=[theirs])
            place.process.start()
            theirs.close()
            place.begins_at = time.monotonic()

    def _end(self, place: Place) -> None:
        """Take note of what came of a process, and see whether another begins."""
        assert place.process
        assert place.line
        said: Outcome | StoreError | None = None
        with suppress(EOFError), place.line as line:
            said = line.recv()
        process, place.process = place.process, None
        process.join()
        if isinstance(said, StoreError):
            self._trouble = said
        elif said is not None:
            self._outcomes.append(said)
        if not (self._until_drained or self._ended):
            self._replace(place, process)
        else:
            place.begins_at = inf
            if said is None:
                self._faults.append(f"{_end_of(process)}.")
        process.close()

    def _replace(self, place: Place, process: BaseProcess) -> None:
        seconds = 0.0
        if time.monotonic() - place.begins_at > STEADY_SECONDS:
            place.failures = 0
        else:
            seconds = min(RESTART_CAP_SECONDS, RESTART_SECONDS * 2**place.failures)
            place.failures += 1
        place.begins_at = time.monotonic() + seconds
        click.echo(
            f"{_end_of(process)}; another takes its place in {seconds:g} s.", err=True
        )

    # In a process of its own

    def _work(self, line: connection.Connection) -> None:
        """Be one of the processes. However often it is told to stop, it winds down."""
        os.close(self._held)
        shift = self._make_shift()
        for one in SIGNALS:
            signal.signal(one, lambda *_: shift.stop("told"))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        threading.Thread(target=self._watch, args=[shift], daemon=True).start()
        try:
            said: Outcome | StoreError = shift.run(until_drained=self._until_drained)
        except StoreError as error:
            said = error
        with suppress(OSError):  # nobody is there to hear it
            line.send(said)

    def _watch(self, shift: Shift) -> None:
        """Stop when our parent does, or is gone.

        The alarm is the system's: it ends this process though nothing in it goes on.
        """
        connection.wait([self._watched])
        signal.setitimer(signal.ITIMER_REAL, self._patience_seconds)
        shift.stop("told")


@contextmanager
def _deaf() -> Iterator[None]:
    """Have the signals that we obey wait."""
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
