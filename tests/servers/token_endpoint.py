"""A fake of an OAuth 2.0 token endpoint (RFC 6749 section 3.2) on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class TokenReply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def granted(token: str, seconds: float = 3600, **more: Any) -> TokenReply:
    """RFC 6749 section 5.1."""
    body = {"token_type": "Bearer", "access_token": token, "expires_in": seconds}
    return TokenReply(200, {**body, **more})


def refused(status: int, code: str, text: str = "No.", **headers: str) -> TokenReply:
    """RFC 6749 section 5.2."""
    named = {one.replace("_", "-"): value for one, value in headers.items()}
    return TokenReply(status, {"error": code, "error_description": text}, named)


class TokenEndpoint:
    """Grants ``token-1``, ``token-2`` …, or what ``answer`` makes of the form."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answer: Callable[[dict[str, str]], TokenReply] = lambda _: granted(
            f"token-{len(self.forms)}"
        )
        self._one = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert (
                    self.headers["Content-Type"] == "application/x-www-form-urlencoded"
                )
                reply = endpoint._reply(self.path, dict(parse_qsl(body.decode())))
                content = reply.body
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _reply(self, path: str, form: dict[str, str]) -> TokenReply:
        with self._one:
            self.paths.append(path)
            self.forms.append(form)
            reply = self.answer
        return reply(form)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
