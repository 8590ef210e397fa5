"""Graceful shutdown: the first signal asks the process to end, the second forces it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def graceful_shutdown(
    stop: Callable[[str], None],
    grace_seconds: float | None = None,
    second: Handler | signal.Handlers = signal.SIG_DFL,
) -> Iterator[None]:
    """Call ``stop`` with the name of the first signal; a second goes to ``second``.

    By default a second signal has its usual effect: the process ends at once.
    """
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def first(number: int, _frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, second)
        name = signal.Signals(number).name
        within = "" if grace_seconds is None else f", within {grace_seconds:g} s"
        _write(f"{name}: finishing attempts{within}. A second signal stops at once.\n")
        stop(name)

    for one in SIGNALS:
        signal.signal(one, first)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def signal_socket() -> Iterator[socket.socket]:
    """A socket that a thread waiting on it reads a byte from at each signal.

    Python calls signal handlers in the main thread, but the system may hand the signal
    to any other, and then nothing ends a wait of the main thread. For the main thread
    only.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)


@contextmanager
def signals_wake_loop() -> Iterator[None]:
    """Have each signal wake the running event loop, so that its handler is called.

    Does nothing outside the main thread, where no handler is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    with signal_socket() as reader:
        reader.setblocking(False)
        # In Python, for uvloop runs none otherwise, and then no handler is called.
        loop.add_reader(reader, lambda: reader.recv(4096))
        try:
            yield
        finally:
            loop.remove_reader(reader)


def _write(text: str) -> None:
    """Write to standard error directly: Python's stream may be in use at this
    moment.
    """
    with suppress(OSError):
        os.write(2, text.encode())
