"""The hosts of topics' services, behind an HTTPS proxy on 127.0.0.1."""

from __future__ import annotations

import socketserver
import ssl
import threading
from pathlib import Path
from typing import Any, Self

from tests.servers.tls import Authority

HOSTS = (
    "sns.eu-west-1.amazonaws.com",
    "sns.mnq.fr-par.scaleway.com",
    "messaging.s3.fr-par.scw.cloud",
)


class ProxiedWeb:
    """Answers by URL, with certificates of an authority of its own in ``ca_file``.

    What is not among ``pages`` is answered 404; a page that begins with ``HTTP/`` is
    the whole answer.
    """

    def __init__(self, folder: Path, pages: dict[str, bytes]) -> None:
        authority = Authority(folder)
        self.ca_file = authority.ca_file
        self.pages = pages
        self.asked: list[str] = []
        context = authority.context(*HOSTS)
        web = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                web._answer(self.request, self.rfile, context)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, tcp: Any, sent: Any, context: ssl.SSLContext) -> None:
        host = sent.readline().split()[1].decode().partition(":")[0]
        while sent.readline().strip():
            pass
        tcp.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            with context.wrap_socket(tcp, server_side=True) as tls:
                file = tls.makefile("rb")
                url = f"https://{host}{file.readline().split()[1].decode()}"
                while file.readline().strip():
                    pass
                self.asked.append(url)
                tls.sendall(self._page(url))
        except (ssl.SSLError, ConnectionError):
            pass  # it does not trust us, or has read enough

    def _page(self, url: str) -> bytes:
        content = self.pages.get(url, b"HTTP/1.1 404 Not Found\r\n\r\n")
        if content.startswith(b"HTTP/"):
            return content
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
