"""The demo's web server: werkzeug's, with a thread for each connection."""

from __future__ import annotations

import errno
import socket
import threading
from wsgiref.types import WSGIApplication

from werkzeug import Response
from werkzeug.serving import make_server

from .errors import CannotRun

HOST = "127.0.0.1"

STOP_LOOK_SECONDS = 0.1
"""How often the server looks whether it shall stop."""


def listen(port: int) -> socket.socket:
    """A socket that listens on ``port``, or on a free one for 0. Raises `CannotRun`."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = f"cannot be used: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            reason = "is taken by another program"
        raise CannotRun(
            f"port {port} {reason}. Choose another with --port, or --port 0 for any "
            "that is free."
        ) from None
    return listener


class WebServer:
    """Serves ``app`` on ``listener``, in threads of its own."""

    def __init__(self, app: WSGIApplication, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        self.address = f"http://{HOST}:{port}/"
        self._server = make_server(HOST, port, app, threaded=True, fd=listener.fileno())
        listener.close()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(STOP_LOOK_SECONDS,),
            name="demo-web",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, not even on connections that a browser opened ahead."""
        self._server.app = Response(
            "The demo has ended.\n", 503, {"Connection": "close"}
        )
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
