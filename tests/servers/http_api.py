"""A fake of a provider's HTTP API on 127.0.0.1, down to its bytes and its faults."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from flask_outbox.config import UrlSettings
from flask_outbox.testing.transport_contract import (
    EVE,
    WAIT_SECONDS,
    PeerBehaviour,
    TransportPeer,
)
from flask_outbox.transports.base import Transport
from flask_outbox.transports.registry import find_adapter, with_options
from tests.servers.ports import listening

KEY = "k3y-that-nobody-may-see"

CUT_BYTES = 10
"""How many bytes of a reply are sent before the connection is cut."""


@dataclass(frozen=True)
class Request:
    """One request as received."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One reply."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


class FakeApi(TransportPeer, ABC):
    """A server that accepts mail as the provider's documentation says.

    Subclasses define the provider's answers. A context manager.
    """

    scheme: ClassVar[str]
    secrets: tuple[str, ...] = (KEY,)
    location = ""
    username: ClassVar[str] = KEY
    password: ClassVar[str | None] = None

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.connections = 0
        """How many connections there were."""
        self._listener = listening()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._listener.getsockname()[1]
        self.behaviour = PeerBehaviour.ACCEPT
        self.answers: Answer | None = None
        """Answers to give instead of the provider's; such requests send nothing."""
        self.requests: list[Request] = []
        self._taken: dict[str, frozenset[str]] = {}
        self._taking = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close_all()

    # ---------------------------------------------------------------- what it is asked

    @abstractmethod
    def recipients(self, request: Request) -> frozenset[str]:
        """The recipients of this request. Fails if it is invalid."""

    @abstractmethod
    def success(self, request: Request) -> Answer:
        """The provider's answer to a request that it accepts."""

    @abstractmethod
    def failure(self, behaviour: PeerBehaviour) -> Answer:
        """The answer for `REFUSE`, `DEFER`, `THROTTLE` and `REJECT_ACCOUNT`."""

    def parts(self, request: Request) -> list[Request]:
        """The requests that would send the messages of a shared one, each alone."""
        return [request]

    def joined(self, answers: list[Answer]) -> Answer:
        """The answer to a shared request, from those to its parts."""
        raise NotImplementedError

    def repetition(self, request: Request) -> str | None:
        """The idempotency key of the request; None if the provider has none."""
        return None

    def echoed(self, request: Request) -> str | None:
        """The outbox's id that the provider's events repeat; None without one."""
        return None

    def listing(self, request: Request) -> Answer | None:
        """The answer about its suppression list; None to any other request."""
        return None

    # -------------------------------------------------------------------- as a peer

    @property
    def taken(self) -> list[frozenset[str]]:
        return list(self._taken.values())

    def transport(self, deadline_seconds: float = 30, **query: str) -> Transport:
        settings = UrlSettings(
            self.scheme,
            "127.0.0.1",
            self.port,
            path=self.location,
            username=self.username,
            password=self.password,
            query={**self._no_tls, **query},
            deadline_seconds=deadline_seconds,
        )
        adapter: Any = find_adapter(self.scheme)
        transport: Transport = adapter(with_options(adapter, settings))
        return transport

    def url(self, **query: str) -> str:
        options = "&".join(f"{k}={v}" for k, v in {**self._no_tls, **query}.items())
        password = f":{self.password}" if self.password else ""
        return (
            f"{self.scheme}://{self.username}{password}@127.0.0.1:{self.port}/"
            f"{self.location}?{options}"
        )

    @property
    def _no_tls(self) -> dict[str, str]:
        return {} if self._tls is not None else {"tls": "no"}

    def behave(self, behaviour: PeerBehaviour) -> None:
        self.behaviour = behaviour
        if behaviour is PeerBehaviour.UNREACHABLE:
            self._close_all()

    # ---------------------------------------------------------------------- its threads

    def _close_all(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in list(self._open):
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(link)
            threading.Thread(target=self._serve, args=[link], daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        if self._tls is not None:
            try:
                link = self._tls.wrap_socket(link, server_side=True)
            except OSError:
                return
        with link, link.makefile("rb") as incoming:
            try:
                while (request := self._read(incoming)) is not None:
                    if not self._reply(link, request):
                        break
            except (OSError, ValueError):
                pass
        self._open.discard(link)

    def _read(self, incoming: Any) -> Request | None:
        line = incoming.readline().decode()
        if not line:
            return None
        method, path, _ = line.split(" ")
        headers = {}
        while (line := incoming.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if self.behaviour is PeerBehaviour.CUT_BEFORE_END:
            return None
        body = incoming.read(int(headers.get("content-length", 0)))
        if len(body) < int(headers.get("content-length", 0)):
            return None
        return Request(method, path, headers, body)

    def _reply(self, link: socket.socket, request: Request) -> bool:
        """Answer as the behaviour says; False closes the connection."""
        if request.method == "HEAD":
            link.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        self.requests.append(request)
        whole = self._whole(self._answer(request))
        match self.behaviour:
            case PeerBehaviour.CUT_AFTER_END:
                return False
            case PeerBehaviour.SILENCE:
                link.recv(1)
                return False
            case PeerBehaviour.ENDLESS_REPLY:
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
                while True:
                    link.sendall(b"x" * 100_000)
            case PeerBehaviour.CUT_REPLY:
                link.sendall(whole[:-CUT_BYTES])
                return False
        link.sendall(whole)
        return True

    def _answer(self, request: Request) -> Answer:
        if self.answers is not None:
            return self.answers
        match self.behaviour:
            case PeerBehaviour.REDIRECT if request.path != "/elsewhere":
                where = f"http://127.0.0.1:{self.port}/elsewhere"
                return Answer(307, b"", {"Location": where})
            case (
                PeerBehaviour.DEFER
                | PeerBehaviour.THROTTLE
                | PeerBehaviour.REJECT_ACCOUNT
            ):
                return self.failure(self.behaviour)
        if (listing := self.listing(request)) is not None:
            return listing
        parts = self.parts(request)
        if parts == [request]:
            return self._answer_to_one(request)
        return self.joined([self._answer_to_one(part) for part in parts])

    def _answer_to_one(self, request: Request) -> Answer:
        recipients = self.recipients(request)
        refuses_it = {
            PeerBehaviour.REFUSE: True,
            PeerBehaviour.REFUSE_EVE: EVE in recipients,
        }
        if refuses_it.get(self.behaviour):
            return self.failure(PeerBehaviour.REFUSE)
        with self._taking:
            key = self.repetition(request) or str(len(self._taken))
            self._taken.setdefault(key, recipients)
            return self.success(request)

    def _whole(self, answer: Answer) -> bytes:
        content = answer.content
        headers = {"Content-Length": str(len(content)), **(answer.headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + content


RETRY_AFTER = {"Retry-After": f"{WAIT_SECONDS:g}"}
