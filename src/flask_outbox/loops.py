"""The event loop of couriers: uvloop's where it is installed and fits."""

from __future__ import annotations

import asyncio

from .offhub import greenlets

try:  # here, not in a courier's thread: a fork would leave the child a half import
    import uvloop
except ImportError:
    uvloop = None


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop, the fastest that there is; whoever calls closes it.

    uvloop waits in C, out of gevent's reach: there it would hold up all greenlets.
    """
    if greenlets() or uvloop is None:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
