"""Backoff: which attempt it was → how long to wait. Pure, but for the die."""

from __future__ import annotations

import random
from collections.abc import Callable


def backoff(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    roll: Callable[[], float] = random.random,
) -> float:
    """Seconds to wait after attempt number ``attempt`` (the first is 1).

    Exponential with full jitter: anywhere from 0 to ``base_seconds`` doubled with each
    attempt, never above ``cap_seconds``, so that a crowd that failed together does not
    come back together. ``roll`` answers from 0 to 1.

    Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    doublings = min(attempt - 1, 63)
    return roll() * min(cap_seconds, base_seconds * 2.0**doublings)
