"""Free ports, which stay free until the caller listens on them."""

from __future__ import annotations

import secrets
import socket

NOBODYS = range(10_240, 32_768)
"""Below those that the system gives to whoever asks for any: on a busy machine that is
the next connection of somebody else."""


def free_port() -> int:
    """A free port."""
    while True:
        port = secrets.choice(NOBODYS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
