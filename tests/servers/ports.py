"""Free ports, which no other process of the tests takes."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

NOBODYS = range(10_240, 32_768)
"""Below those that the system gives to whoever asks for any: on a busy machine that is
the next connection of somebody else, or the port of a server that is gone and whose
clients still look for it."""


TAKEN = Path(tempfile.gettempdir(), "flask-outbox-test-ports")
"""An empty file. A process that takes a port locks the byte of that number in it until
it ends: even while a server of its tests is down, the port is nobody else's."""

_taken = os.open(TAKEN, os.O_RDWR | os.O_CREAT, 0o666)


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
    """An address that this process may try; raises `OSError` if it is another's."""
    port = secrets.choice(NOBODYS)
    fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    return "127.0.0.1", port
