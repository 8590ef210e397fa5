"""What these tests have done by processes of their own, as in `tests.crash.jobs`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection

from flask_outbox.outbox import arrivals, carrying, departures
from flask_outbox.outbox.database import Database
from flask_outbox.outbox.moving import Move
from flask_outbox.outbox.store import Outbox
from tests.crash.points import Point, after, before

SMALL_BATCH = 3
"""So few messages that a short run has many batches."""

LOOK_SECONDS = 0.02
"""How often a move looks for more."""

POINTS: Mapping[str, Point] = {
    "before the move is announced": Point(before, Move, "_announce"),
    "in the middle of the announcement": Point(after, arrivals, "expect"),
    "after the move is announced": Point(after, Move, "_announce"),
    "before the departure's commit": Point(after, departures, "depart"),
    "after the departure": Point(before, Move, "_finish"),
    "after the batch is read": Point(after, carrying, "pack"),
    "in the middle of the arrival": Point(after, arrivals, "take_in"),
    "before the arrival's commit": Point(after, carrying, "unpack"),
    "after the arrival": Point(after, Move, "_arrive"),
    "before the deletion's commit": Point(after, departures, "let_go"),
    "after the deletion": Point(after, Move, "_finish"),
    "at the end": Point(before, Move, "end"),
}
"""Each step of a move."""

RARE = {name for name in POINTS if "announce" in name or name == "at the end"}
"""Steps that a move takes once, and the others with each batch."""


def move_all(line: Connection, here: str, there: str, stop: str, passes: int) -> None:
    """Move until all is carried, or until killed as a step is passed so often."""
    _kill_at(stop, passes)
    move = _begin(here, there)
    while move.carry():
        pass
    move.end()
    line.send("done")


def move_on(
    line: Connection, here: str, there: str, stop: str | None, passes: int
) -> None:
    """Move what comes, without end."""
    if stop is not None:
        _kill_at(stop, passes)
    move = _begin(here, there)
    line.send("at work")
    while not line.poll(LOOK_SECONDS):
        while move.carry():
            pass
    move.end()


def _begin(here: str, there: str) -> Move:
    departures._WAITING = departures._WAITING.limit(SMALL_BATCH)
    departures._FINISHED = departures._FINISHED.limit(SMALL_BATCH)
    move = Move(Outbox(Database(here)), Outbox(Database(there)))
    move.prepare()
    return move


def _kill_at(step: str, passes: int) -> None:
    passed = 0

    def passing() -> None:
        nonlocal passed
        passed += 1
        if passed == passes:
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL)

    POINTS[step].tell(passing)
