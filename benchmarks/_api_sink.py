"""A provider's API for the benchmarks: answers each mail after a delay, keeps none."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import cast

from _aside import Aside
from _loop import loop_factory

HOST = "127.0.0.1"
BY_RESEND = b'{"id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}'
BY_POSTMARK = (
    b'{"ErrorCode":0,"Message":"OK","MessageID":"b7bc2f4a-e38e-4336-af7d-e6c392c2f817",'
    b'"SubmittedAt":"2026-11-26T12:01:05.1794748Z","To":"ada@example.org"}'
)


class ApiSink(Aside):
    """An API on a free port that answers each request after so many seconds."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(__file__, "--delay", str(delay_seconds))


class Requests(asyncio.Protocol):
    """One connection."""

    delay_seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            whole = end + 4 + _length(head)
            if len(self._received) < whole:
                return
            answer = _answer(head, self._received[end + 4 : whole])
            self._received = self._received[whole:]
            loop = asyncio.get_running_loop()
            loop.call_later(self.delay_seconds, self._transport.write, answer)


def _answer(head: bytes, body: bytes) -> bytes:
    """What Resend, or Postmark for one mail or several, answers."""
    if head.startswith(b"POST /email/batch "):
        mails = body.count(b'"MessageStream"')
        reply = b"[" + b",".join([BY_POSTMARK] * mails) + b"]"
    elif head.startswith(b"POST /email "):
        reply = BY_POSTMARK
    else:
        reply = BY_RESEND
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(reply), reply)
    )


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve() -> None:
    """Serve until the standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Requests, HOST, 0, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, required=True)
    Requests.delay_seconds = parser.parse_args().delay
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())
