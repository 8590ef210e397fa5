"""How many functions and files does one mail go through?

What runs is traced, not timed: one mail of a warm app, thread engine and SQLite.
See README.md.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

from _figures import Goal
from _machine import machine
from _results import Chart, add_json_option, write_results
from _sink import Sink
from _ways import MAIL, REST_SECONDS, SENDER, Failed
from flask import Flask

import flask_outbox
from flask_outbox.signals import message_sent

PACKAGE = f"{Path(flask_outbox.__file__).parent}/"
ROUNDS = 9
WARM_UP_MAILS = 3
SENT_SECONDS = 30.0
LATER_SECONDS = 3_600
"""How far in the future the cancelled mail is due."""

GOALS = {"both": (300, 35, 130), "mail.cancel": (None, 10, None)}
"""The maximum of calls, files and moves of a trip."""


@dataclass(frozen=True)
class Step:
    """A call of one of our functions, by one of ours or by other code."""

    callee: CodeType
    caller: CodeType | None
    depth: int
    """How many functions of ours are on the stack above it."""

    @property
    def moves(self) -> bool:
        """Whether it leads from one of our files to another."""
        caller = self.caller
        return caller is None or caller.co_filename != self.callee.co_filename

    def __str__(self) -> str:
        file = self.callee.co_filename.removeprefix(PACKAGE)
        return f"{'  ' * self.depth}{file}:{self.callee.co_qualname}"


Trip = Sequence[Step]
FIGURES = ("calls", "files", "moves")


def figures(trip: Trip) -> tuple[int, int, int]:
    """Calls, files and moves."""
    files = {step.callee.co_filename for step in trip}
    return len(trip), len(files), sum(step.moves for step in trip)


class Tracer:
    """Notes each call of our functions, in all threads that start after it is made.

    A coroutine or generator counts when it begins, not each time that it goes on.
    """

    def __init__(self) -> None:
        self._own_thread = threading.get_ident()
        self._begun: set[FrameType] = set()
        self._own: list[Step] = []
        self._others: list[Step] = []
        self._traces = False
        threading.setprofile(self._note)

    def start(self) -> None:
        """Trace this thread and all others."""
        self._begun, self._own, self._others = set(), [], []
        self._traces = True
        sys.setprofile(self._note)

    def stop_here(self) -> Trip:
        """Stop tracing this thread; returns its calls."""
        sys.setprofile(None)
        return self._own

    def stop(self, last: FrameType | None = None) -> Trip:
        """Stop tracing; returns the other threads' calls, up to the call ``last``."""
        self._traces = False
        self._begun.clear()
        if last is not None:
            calls = [step.callee for step in self._others]
            del self._others[len(calls) - calls[::-1].index(last.f_code) :]
        return self._others

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or not self._traces or not _is_ours(frame.f_code):
            return
        if frame in self._begun:
            return
        self._begun.add(frame)
        above = list(_ours_above(frame))
        own = threading.get_ident() == self._own_thread
        steps = self._own if own else self._others
        steps.append(Step(frame.f_code, above[0] if above else None, len(above)))


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def _ours_above(frame: FrameType) -> Iterator[CodeType]:
    above = frame.f_back
    while above is not None:
        if _is_ours(above.f_code):
            yield above.f_code
        above = above.f_back


class Traveller:
    """An app whose mails are traced, one after another."""

    def __init__(self, folder: Path, port: int) -> None:
        self._tracer = Tracer()
        self._app = Flask("benchmark", instance_path=str(folder))
        self._app.config.update(
            MAIL_URL=f"smtp://127.0.0.1:{port}", MAIL_DEFAULT_SENDER=SENDER
        )
        self._mail = flask_outbox.Mail(self._app)
        self._delivery: queue.SimpleQueue[Trip] = queue.SimpleQueue()
        message_sent.connect(self._note_sent, self._app)

    def _note_sent(self, _app: Flask, **_payload: object) -> None:
        """End the trip with the call that told of it: each listener comes after."""
        self._delivery.put(self._tracer.stop(sys._getframe(1)))

    def send(self) -> dict[str, Trip]:
        """Send a mail and wait until it is recorded as sent."""
        message = flask_outbox.Message(**MAIL)
        self._tracer.start()
        self._mail.send(message)
        hand_over = self._tracer.stop_here()
        try:
            delivery = self._delivery.get(timeout=SENT_SECONDS)
        except queue.Empty:
            raise Failed(f"It was not sent within {SENT_SECONDS:.0f} s.") from None
        return {
            "Mail.send until committed": hand_over,
            "from there until recorded as sent": delivery,
            "both": [*hand_over, *delivery],
        }

    def cancel(self) -> dict[str, Trip]:
        """Cancel a mail that is due much later."""
        message = flask_outbox.Message(**MAIL)
        receipt = self._mail.send(message, delay=LATER_SECONDS)
        self.rest()
        self._tracer.start()
        self._mail.cancel(receipt.id)
        trip = self._tracer.stop_here()
        self._tracer.stop()
        return {"mail.cancel": trip}

    def rest(self) -> None:
        """Let the courier finish its work after a mail, so that trips do not mix."""
        time.sleep(2 * REST_SECONDS)

    def close(self) -> None:
        self._mail.stop()


def travel(rounds: int) -> dict[str, Trip]:
    """The usual trip of each kind: the one with the median number of calls."""
    trips: dict[str, list[Trip]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="trip-") as folder,
        Sink() as sink,
        closing(Traveller(Path(folder), sink.port)) as traveller,
    ):
        for number in range(WARM_UP_MAILS + rounds):
            for journey in (traveller.send, traveller.cancel):
                traveller.rest()
                for name, trip in journey().items():
                    if number >= WARM_UP_MAILS:
                        trips.setdefault(name, []).append(trip)
    return {
        name: sorted(found, key=len)[len(found) // 2] for name, found in trips.items()
    }


def report(trips: dict[str, Trip]) -> None:
    """Print the figures of each trip, beside its goal."""
    print(f"{'':35}{'calls':>7}{'files':>7}{'moves':>7}")
    for name, trip in trips.items():
        print(f"{name:35}" + "".join(f"{one:7}" for one in figures(trip)))
        if name in GOALS:
            goals = "".join(f"{'' if one is None else one:>7}" for one in GOALS[name])
            print(f"{'  at most':35}{goals}")


def main() -> int:
    """Trace and print; returns 1 if a mail did not arrive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="mails to trace (%(default)s)")
    add("--list", action="store_true", help="print the way: each call, in its order")
    add("--quick", action="store_true", help="trace three mails")
    add_json_option(parser)
    options = parser.parse_args()
    try:
        trips = travel(3 if options.quick else options.rounds)
    except Failed as failure:
        print(f"Failed: {failure}", file=sys.stderr)
        return 1
    if options.list:
        for name, trip in trips.items():
            if name != "both":
                print(f"\n{name}\n", *trip, sep="\n")
        print()
    report(trips)
    goals = [
        Goal(f"{name}: {figure}", limit, float(found))
        for name, limits in GOALS.items()
        for figure, limit, found in zip(
            FIGURES, limits, figures(trips[name]), strict=True
        )
        if limit is not None
    ]
    charts = [
        Chart(
            "What one mail goes through",
            figure,
            {name: figures(trip)[number] for name, trip in trips.items()},
            tuple(trips),
        )
        for number, figure in enumerate(FIGURES)
    ]
    write_results(options.json, machine(Path.cwd(), ("Flask",)), charts, goals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
