"""Obeying: a first signal is a request, a second one an order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def obeying(
    stop: Callable[[str], None],
    grace_seconds: float | None = None,
    again: Handler | signal.Handlers = signal.SIG_DFL,
) -> Iterator[None]:
    """Call ``stop`` with the name of the first signal, and leave a second to ``again``.

    By default that is the system's own handling, which waits for nobody.
    """
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def first(number: int, _frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, again)
        name = signal.Signals(number).name
        within = "" if grace_seconds is None else f", within {grace_seconds:g} s"
        _say(
            f"{name}: finishing what has been begun{within}. A second signal ends at "
            "once.\n"
        )
        stop(name)

    for one in SIGNALS:
        signal.signal(one, first)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _say(text: str) -> None:
    """Say it on standard error, past Python's stream: that may be in use just now."""
    with suppress(OSError):
        os.write(2, text.encode())
