"""Waiting for what nobody announces: a look at short intervals, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_SECONDS = 10.0
"""How long anything is waited for: far beyond what a busy machine needs."""

BUSY_SECONDS = 10.0
"""What a busy machine may add to a time that is promised for an idle one."""

LOOK_SECONDS = 0.01


def eventually(look: Callable[[], T], timeout_seconds: float = WAIT_SECONDS) -> T:
    """Return what ``look`` answers once that is true, or fail with its last answer.

    For what there is no event to await for; where there is one, await it.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: still {answer!r}")
        time.sleep(LOOK_SECONDS)
    return answer
