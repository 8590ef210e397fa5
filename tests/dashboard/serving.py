"""A shop's dashboard at an address, for browsers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from werkzeug.serving import make_server


@contextmanager
def served(app: Flask, *, threaded: bool = True) -> Iterator[str]:
    """The address of the app's dashboard inside the ``with`` block."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/outbox"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
