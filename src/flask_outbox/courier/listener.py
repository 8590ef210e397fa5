"""Listening for the database's notifications (LISTEN) of new messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import StoreError
from ..limits import backoff
from ..outbox import LANES, MAIL, Database, Notifications

REOPEN_BASE_SECONDS, REOPEN_CAP_SECONDS = 1.0, 30.0
"""The first and the longest wait before a lost connection is opened again."""

PACE_SECONDS = 0.02
"""The shortest time between two notifications that are acted on. The first is acted on
at once; many senders do not make an idle courier query the database without end."""

STEADY_SECONDS = 60.0
"""A connection that lasted this long worked: losing it does not count as a failure."""

_log = logging.getLogger("flask_outbox")


async def listen(
    database: Database,
    in_thread: Callable[..., Awaitable[Any]],
    notified: Callable[[str], None],
) -> None:
    """Call ``notified`` with each word that the database notifies of, until cancelled.

    When a connection opens, it is called with all words, as earlier notifications were
    missed. Without a connection the courier only polls.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        notifications = Notifications(database)
        began = loop.time()
        try:
            await in_thread(notifications.open)
            await _hear(notifications, notified)
        except StoreError as error:
            steady = loop.time() - began > STEADY_SECONDS
            failures = 1 if steady else failures + 1
            _log.info(
                "This courier is not notified by its database just now: %s", error
            )
        finally:
            notifications.close()
        await asyncio.sleep(
            backoff(
                failures,
                base_seconds=REOPEN_BASE_SECONDS,
                cap_seconds=REOPEN_CAP_SECONDS,
            )
        )


async def _hear(notifications: Notifications, notified: Callable[[str], None]) -> None:
    """Listen until the connection is lost; raises `StoreError` then."""
    words = {MAIL, LANES}
    while True:
        for word in words:
            notified(word)
        await asyncio.sleep(PACE_SECONDS)
        await _readable(notifications.fileno())
        words = notifications.received()


async def _readable(fd: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
