"""The HTTP client: its requests, and how it reads replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import AccountTrouble, TransportDown
from flask_outbox.config import UrlSettings
from flask_outbox.delivery import Progress
from flask_outbox.transports.http.client import (
    ApiClient,
    ApiReply,
    ApiRequest,
    NoReply,
)
from tests.servers.http_api import KEY
from tests.servers.tls import Authority
from tests.transports.fakes import FakeResend

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[int]:
    """A server that has this ``talk`` on each connection; its port.

    Ends when all talks have.
    """
    talks: list[asyncio.Task[None]] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(once(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks)


def answering(*replies: bytes) -> Talk:
    """A talk that answers each request with the next of these, then hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"{}")
            writer.write(reply)

    return talk


async def post(client: ApiClient, port: int, **headers: str) -> ApiReply:
    request = ApiRequest(f"http://127.0.0.1:{port}/send?now=1", headers, b"{}")
    return await client.post(request, [Progress()])


def posted(*replies: bytes, times: int = 1) -> list[ApiReply]:
    """The replies to so many requests, one after the other."""

    async def run() -> list[ApiReply]:
        client = ApiClient(UrlSettings("resend"))
        async with serving(answering(*replies)) as port:
            try:
                return [await post(client, port) for _ in range(times)]
            finally:
                await client.close()

    return asyncio.run(run())


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK,
        CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nTrailer: x\r\n\r\n",
        HEAD + b"\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
    ids=["length", "early hints", "chunks", "until the end", "HTTP/1.0"],
)
def test_a_reply_is_read_to_where_it_ends(reply: bytes) -> None:
    (found,) = posted(reply)
    assert (found.status, found.body) == (200, b"ok")


@pytest.mark.parametrize(
    "reply",
    [
        b"220 mail.example.com ESMTP\r\n\r\n",
        HEAD + b"no header\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\no",
        CHUNKED + b"x\r\n",
        CHUNKED + b"2\r\nokay\r\n",
        CHUNKED + b"2\r\nok",
        HEAD + b"X: " + b"x" * 100_000,
        HEAD + b"\r\n" + b"x" * 2_000_000,
        CHUNKED + b"1E8480\r\n" + b"x" * 2_000_000,
    ],
    ids=range(10),
)
def test_an_incomplete_reply_leaves_the_outcome_unknown(reply: bytes) -> None:
    with pytest.raises(NoReply):
        posted(reply)


def test_a_connection_is_used_again_unless_the_server_closes_it() -> None:
    assert len(posted(OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", OK, times=3)) == 3
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    assert len(posted(closing, times=2)) == 2


def test_a_connection_with_unasked_data_is_not_used_again() -> None:
    timed_out = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"

    async def run() -> None:
        client = ApiClient(UrlSettings("resend"))
        async with serving(answering(OK + timed_out)) as port:
            assert (await post(client, port)).status == 200
            await asyncio.sleep(0)
            assert (await post(client, port)).status == 200
            await client.close()

    asyncio.run(run())


@pytest.mark.parametrize("size", [20_000, 2_000_000])
def test_large_requests_are_sent_over_tls(tmp_path: Path, size: int) -> None:
    async def run() -> None:
        with FakeResend(Authority(tmp_path).context("127.0.0.1")) as api:
            settings = UrlSettings("resend", verify=False, deadline_seconds=30)
            client = ApiClient(settings)
            url = f"https://127.0.0.1:{api.port}/emails"
            headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "k"}
            email = {"from": "a@b.c", "to": ["a@b.c"], "text": "x" * size}
            request = ApiRequest(url, headers, json.dumps(email).encode())
            for _ in range(5):
                assert (await client.post(request, [Progress()])).status == 200
            assert api.connections == 1
            await client.close()

    asyncio.run(run())


def test_a_key_with_a_line_break_is_a_fault_of_the_account_and_not_shown() -> None:
    async def run() -> None:
        with pytest.raises(AccountTrouble, match="without a line break") as trouble:
            await post(ApiClient(UrlSettings("resend")), 1, Authorization="s3cret\n")
        assert "s3cret" not in str(trouble.value)

    asyncio.run(run())


@pytest.mark.parametrize("status", [200, 407])
def test_a_proxy_is_used_by_a_tunnel(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: Any, writer: Any) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 %d X\r\n\r\n" % status)
        asked.append(await reader.read(1))

    async def run() -> None:
        async with serving(tunnel) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{port}")
            monkeypatch.setenv("NO_PROXY", "example.com")
            client = ApiClient(UrlSettings("resend"))
            words = "answers 407" if status == 407 else "cannot be reached"
            request = ApiRequest("https://api.invalid/emails", {}, b"{}")
            with pytest.raises(TransportDown, match=words):
                await client.post(request, [Progress()])
            await client.close()

    asyncio.run(run())
    assert asked[0].startswith(b"CONNECT api.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==\r\n" in asked[0]
    if status == 200:
        assert asked[1] == b"\x16"  # TLS begins
