"""Streams: telling a page that there is news, as long as nobody else has to wait.

A stream holds a thread of the server for as long as it lasts. So each process has room
for one, it ends by itself, and where it would hold all that the process has there is
none. A page that gets no stream looks again and again instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from ..errors import StoreError

STREAMS = 1
"""How many there are at a time in one process: even of two threads one stays free."""

STREAM_SECONDS = 20.0
"""How long one lasts. The browser comes back by itself, and whether it may is asked
anew; and a server that is told to stop need not wait for longer."""

LOOK_SECONDS = 0.5
"""How often a stream looks into the outbox, for what other processes did too."""

_room = threading.BoundedSemaphore(STREAMS)


def take_place() -> bool:
    """Whether there is room for a stream; its end must `give_back` the place."""
    return _room.acquire(blocking=False)


def give_back() -> None:
    """Make room for another stream."""
    _room.release()


def stream(look: Callable[[], int], seen: int) -> Iterator[str]:
    """Server-sent events: one each time when ``look`` answers another number.

    In between a comment shows whether the browser is still there.
    """
    yield "retry: 1000\n\n"
    until = time.monotonic() + STREAM_SECONDS
    while time.monotonic() < until:
        try:
            now = look()
        except StoreError:
            return  # the page sees it when it asks for itself
        yield f"id: {now}\nevent: news\ndata: {now}\n\n" if now != seen else ":\n\n"
        seen = now
        time.sleep(LOOK_SECONDS)
