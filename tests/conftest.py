"""What holds for the whole run."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Have Ctrl-C count, and in the processes under test too.

    A shell that starts this run in the background has it ignored, and they inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
