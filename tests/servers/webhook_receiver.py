"""A receiver of webhooks on 127.0.0.1, which verifies them by the public library."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Received:
    """One request whose signature was right."""

    id: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        kind: str = self.json["type"]
        return kind


class WebhookReceiver:
    """Takes webhooks that are signed with its secret. A context manager.

    ``answer`` decides the status of each reply, by default 204.
    """

    def __init__(self, secret: str = SECRET, port: int = 0) -> None:
        self.secret = secret
        self.received: list[Received] = []
        self.refused: list[Exception] = []
        """Why requests were not taken for webhooks."""
        self.answer: Callable[[Received], int] = lambda _: 204
        self.reply = b""
        """The body of each reply."""
        self.location: str | None = None
        """Where each reply redirects to."""
        self.most_at_once = 0
        """How many requests were under way at the same time."""
        self._at_once = 0
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?token=s3cret"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Verify one request, and decide the status of its reply."""
        try:
            Webhook(self.secret).verify(body, dict(headers))
        except Exception as error:
            self.refused.append(error)
            return 400
        one = Received(headers["webhook-id"], headers, body)
        with self._news:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.received.append(one)
            self._news.notify_all()
        try:
            return self.answer(one)
        finally:
            with self._news:
                self._at_once -= 1

    def wait_for(self, number: int, timeout_seconds: float) -> list[Received]:
        """Return what was received once there are so many, or fail."""
        with self._news:
            if not self._news.wait_for(
                lambda: len(self.received) >= number, timeout_seconds
            ):
                raise AssertionError(
                    f"received {self.received}, refused {self.refused}"
                )
        return self.received


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut."""


def _handler(receiver: WebhookReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(headers, body))
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", str(len(receiver.reply)))
            self.end_headers()
            self.wfile.write(receiver.reply)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
