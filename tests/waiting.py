"""Polling, with a deadline, for what cannot be awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_SECONDS = 120.0
"""How long anything is waited for before a test fails: whether it comes at all, and not
how fast, is what a test asks."""

BUSY_SECONDS = 10.0
"""What a busy machine may add to a time that is promised for an idle one."""

LOOK_SECONDS = 0.01
"""The shortest time between two looks."""

PAUSE_PER_LOOK = 5
"""The same in times that a look takes."""


def eventually(look: Callable[[], T], timeout_seconds: float = WAIT_SECONDS) -> T:
    """Return what ``look`` answers once that is true, or fail with its last answer.

    Only for what has no event to await. An expensive look is taken less often, because
    the awaited work needs the processor, too.
    """
    began = time.monotonic()
    deadline = began + timeout_seconds
    while not (answer := look()):
        ended = time.monotonic()
        if ended > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: still {answer!r}")
        time.sleep(max(LOOK_SECONDS, PAUSE_PER_LOOK * (ended - began)))
        began = time.monotonic()
    return answer
