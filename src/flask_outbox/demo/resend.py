"""The demo's fake of Resend, an HTTP API written from Resend's documentation.

https://resend.com/docs/api-reference/emails/send-email and, for requests that are
repeated, https://resend.com/docs/dashboard/emails/idempotency-keys.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, cast

from .server import HOST, Arrival, Behaviour, Codes, LocalServer, arrived_at

KEY = "re_demo"
"""The API key of the demo's account."""

NEEDED = ("from", "to", "subject")


class Refused(Exception):
    """An error of the API: its status, name and message."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, int | str] = {
            "statusCode": status,
            "name": name,
            "message": message,
        }


_REFUSALS = {
    Behaviour.BUSY: (503, "service_unavailable", "Too busy now, try again later."),
    Behaviour.REFUSING: (422, "validation_error", "There is no such mailbox here."),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """The names are case-insensitive."""
    body: bytes


class LocalResend(LocalServer):
    """``POST /emails``, with idempotency keys that are remembered with the mails."""

    name = "fake of Resend"
    codes: ClassVar[Codes] = Codes(yes=200, not_now=503, never=422)
    suffix = ".json"

    def __init__(self, mailbox: Path) -> None:
        super().__init__(mailbox)
        self._answered: dict[str, tuple[str, Any]] = {}
        """Idempotency key → the id and the email of the request that had it."""
        self._processing: set[str] = set()

    @property
    def url(self) -> str:
        """Its address, with the API key."""
        return f"resend://{KEY}@{HOST}:{self.port}?tls=no"

    def converse(self) -> asyncio.BaseProtocol:
        """A connection that is kept alive."""
        return _Connection(self)

    def read(self, path: Path) -> Arrival:
        """The email, which is known by the id that the API gave it.

        Its idempotency key is remembered, over a restart too.
        """
        kept = json.loads(path.read_bytes())
        self._answered[kept["idempotency_key"]] = (kept["id"], kept["email"])
        tags = {one["name"]: one["value"] for one in kept["email"].get("tags", [])}
        return Arrival(
            number=int(path.stem),
            at=arrived_at(path),
            subject=kept["email"]["subject"],
            message_id=tags.get("outbox_id", ""),
            known_as=kept["id"],
            path=path,
        )

    async def answer(self, request: Request) -> tuple[int, Any]:
        """The status and the JSON of the reply to a request."""
        try:
            if (request.method, request.path) != ("POST", "/emails"):
                raise Refused(404, "not_found", "The endpoint does not exist.")
            if request.headers["Authorization"] != f"Bearer {KEY}":
                raise Refused(401, "invalid_api_key", "API key is invalid")
            return 200, {"id": await self._send(request)}
        except Refused as refused:
            return refused.status, refused.body

    async def _send(self, request: Request) -> str:
        if self.behaviour in _REFUSALS:
            raise Refused(*_REFUSALS[self.behaviour])
        email = json.loads(request.body)
        for field in NEEDED:
            if not email.get(field):
                text = f"Missing `{field}` field."
                raise Refused(422, "missing_required_field", text)
        key = request.headers.get("Idempotency-Key", str(uuid.uuid4()))
        if key in self._answered:
            id, before = self._answered[key]
            if before != email:
                text = "The idempotency key was used with another body."
                raise Refused(409, "invalid_idempotent_request", text)
            return id
        if key in self._processing:
            text = "A request with this idempotency key is in progress."
            raise Refused(409, "concurrent_idempotent_requests", text)
        self._processing.add(key)
        try:
            await self.take_its_time()
            return self._accept(key, email)
        finally:
            self._processing.remove(key)

    def _accept(self, key: str, email: Any) -> str:
        kept = {"id": str(uuid.uuid4()), "idempotency_key": key, "email": email}
        content = json.dumps(kept, indent=2, ensure_ascii=False)
        return self.keep(content.encode()).known_as


class _Connection(asyncio.Protocol):
    """Reads requests (RFC 9112), one at a time, and writes the replies."""

    def __init__(self, api: LocalResend) -> None:
        self._api = api
        self._received = b""
        self._answering: set[asyncio.Task[None]] = set()
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        line, _, fields = head.partition(b"\r\n")
        headers = BytesHeaderParser().parsebytes(fields)
        length = int(headers.get("Content-Length", "0"))
        if len(rest) < length:
            return
        self._received = rest[length:]
        method, path, _ = line.decode().split(" ")
        request = Request(method, path, headers, rest[:length])  # type: ignore[arg-type]
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, request: Request) -> None:
        status, told = await self._api.answer(request)
        body = json.dumps(told).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        assert self.transport is not None
        self.transport.write(
            head.encode() + (b"" if request.method == "HEAD" else body)
        )
