"""Listening: a courier hears of what there is to do, where its database tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..backoff import backoff
from ..errors import StoreError
from ..outbox.database import Database
from ..outbox.doorbell import LANES, MAIL, Line

REOPEN_BASE_SECONDS, REOPEN_CAP_SECONDS = 1.0, 30.0
"""How soon, and how late at most, a line that was lost is opened again."""

PACE_SECONDS = 0.02
"""The shortest time between two rings that are heeded: the first one is at once, and
many senders do not make an idle courier ask the database without end."""

STEADY_SECONDS = 60.0
"""A line that held for so long was well: its loss is no failure."""

_log = logging.getLogger("flask_outbox")


async def listen(
    database: Database,
    in_thread: Callable[..., Awaitable[Any]],
    rung: Callable[[str], None],
) -> None:
    """Call ``rung`` with each word that the doorbell says, until cancelled.

    All words are said once a line is open: nobody heard what rang before. While there
    is none, the courier only looks by itself.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        line = Line(database)
        began = loop.time()
        try:
            await in_thread(line.open)
            await _hear(line, rung)
        except StoreError as error:
            steady = loop.time() - began > STEADY_SECONDS
            failures = 1 if steady else failures + 1
            _log.info("No database rings for this courier just now: %s", error)
        finally:
            line.close()
        await asyncio.sleep(
            backoff(
                failures,
                base_seconds=REOPEN_BASE_SECONDS,
                cap_seconds=REOPEN_CAP_SECONDS,
            )
        )


async def _hear(line: Line, rung: Callable[[str], None]) -> None:
    """Listen until the line is lost, and raise that."""
    words = {MAIL, LANES}
    while True:
        for word in words:
            rung(word)
        await asyncio.sleep(PACE_SECONDS)
        await _readable(line.fileno())
        words = line.heard()


async def _readable(fd: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
