"""Free ports, which stay free until the caller listens on them."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

NOBODYS = range(10_240, 32_768)
"""Below those that the system gives to whoever asks for any: on a busy machine that is
the next connection of somebody else, or the port of a server that is gone and whose
clients still look for it."""


def free_port() -> int:
    """A free port.

    Nothing has listened on it: a process that another thread starts just then would
    have inherited that socket, and kept the port until its own program runs.
    """
    while True:
        with suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(_any_address())
            return int(trial.getsockname()[1])


def listening() -> socket.socket:
    """A socket that listens on a free port."""
    while True:
        with suppress(OSError):
            return socket.create_server(_any_address())


def _any_address() -> tuple[str, int]:
    return "127.0.0.1", secrets.choice(NOBODYS)
