"""Serves a shop's dashboard to browsers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from flask import Flask
from werkzeug.serving import make_server

from flask_outbox.dashboard.views import stream
from tests.waiting import eventually

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOOK_SECONDS = 0.05
"""How often a stream looks for news, and so notices that its page is gone."""


@contextmanager
def served(app: Flask, *, threaded: bool = True) -> Iterator[str]:
    """The URL of the app's dashboard inside the ``with`` block.

    At its end no stream is left, which would take the room of another test's.
    """
    server = make_server("127.0.0.1", 0, closed(app), threaded=threaded)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        with patch.object(stream, "LOOK_SECONDS", LOOK_SECONDS):
            yield f"http://127.0.0.1:{server.server_port}/outbox"
            eventually(stream.acquire_stream)
            stream.release_stream()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed(app: WSGIApplication) -> WSGIApplication:
    """The app with each response closed, which Werkzeug's server forgets if the browser
    breaks off just then.
    """

    def respond(environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        with closing(app(environ, start)) as response:  # type: ignore[type-var]
            # "yield from" would close it, too, and so a second time.
            for data in response:  # noqa: UP028
                yield data

    return respond
