"""The jobs that these tests run in processes of their own, as in `tests.crash.jobs`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection

from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.transfer import Move, rows
from tests.crash.points import Point, after, before

SMALL_BATCH = 3
"""A batch size so small that a short run has many batches."""

LOOK_SECONDS = 0.02
"""How often a move polls."""

POINTS: Mapping[str, Point] = {
    "before the move is announced": Point(before, Move, "_announce"),
    "in the middle of the announcement": Point(after, rows, "expect"),
    "after the move is announced": Point(after, Move, "_announce"),
    "before the departure's commit": Point(after, rows, "depart"),
    "after the departure": Point(before, Move, "_finish"),
    "after the batch is read": Point(after, rows, "export_rows"),
    "in the middle of the arrival": Point(after, rows, "record_arrival"),
    "before the arrival's commit": Point(after, rows, "import_rows"),
    "after the arrival": Point(after, Move, "_arrive"),
    "before the deletion's commit": Point(after, rows, "delete_departed"),
    "after the deletion": Point(after, Move, "_finish"),
    "at the end": Point(before, Move, "end"),
}
"""Each step of a move."""

RARE = {name for name in POINTS if "announce" in name or name == "at the end"}
"""Steps that happen once for each move; the others for each batch."""


def move_all(line: Connection, here: str, there: str, stop: str, passes: int) -> None:
    """Move everything, or be killed when a step is passed for the given time."""
    _kill_at(stop, passes)
    move = _begin(here, there)
    while move.carry():
        pass
    move.end()
    line.send("done")


def move_on(
    line: Connection, here: str, there: str, stop: str | None, passes: int
) -> None:
    """Move new messages endlessly."""
    if stop is not None:
        _kill_at(stop, passes)
    move = _begin(here, there)
    line.send("at work")
    while not line.poll(LOOK_SECONDS):
        while move.carry():
            pass
    move.end()


def _begin(here: str, there: str) -> Move:
    rows._WAITING_ROWS = rows._WAITING_ROWS.limit(SMALL_BATCH)
    rows._FINISHED = rows._FINISHED.limit(SMALL_BATCH)
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
