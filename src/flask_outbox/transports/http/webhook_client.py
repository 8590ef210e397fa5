"""The HTTP client of webhooks: it signs each, and asks no private address."""

from __future__ import annotations

import asyncio
import base64
import hmac
import importlib.util
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...config import WebhookEndpoint
from ...errors import ConfigError
from ...webhooks.addresses import is_public
from .client import USER_AGENT

if TYPE_CHECKING:
    from aiohttp import ClientSession

TIMEOUT_SECONDS = 20.0
"""How long an endpoint may take for a reply, from the first look for its address on;
Standard Webhooks asks for 15 to 30 seconds."""

MOST_READ_BYTES = 64 * 1024
"""A longer reply is not read, and its connection not used again."""

READ_SECONDS = 2.0
"""How long the body of a reply is waited for. Nothing depends on it: once it is read,
its connection can be used again."""

IDLE_SECONDS = 15.0
"""How long a connection is kept open for the next webhook."""


class NoAnswer(Exception):
    """The endpoint gave no reply; the text says why, without the path of its URL."""


class PrivateAddress(OSError):
    """An address that is not public, which no connection was made to."""


def check_installed() -> None:
    """Raise `ConfigError` if what the client needs is not installed."""
    if importlib.util.find_spec("aiohttp") is None:
        raise ConfigError(
            "OUTBOX_WEBHOOKS needs the package aiohttp: install it with "
            "pip install 'flask-outbox[http]'."
        )


class WebhookClient:
    """Posts webhooks to one endpoint over connections that are kept open.

    Every address is checked when a connection to it is made, whatever name or spelling
    led to it. Follows no redirect, and uses no proxy.
    """

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        self._endpoint = endpoint
        self._session: ClientSession | None = None

    async def post(self, id: str, body: bytes, keys: tuple[bytes, ...]) -> int:
        """Send a webhook, signed with ``keys``; the status of the reply.

        Raises `NoAnswer`.
        """
        import aiohttp

        place = self._endpoint.place
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._exchange(id, body, keys)
        except TimeoutError as error:
            raise NoAnswer(
                f"{place} did not answer within {TIMEOUT_SECONDS:g} s"
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer(f"{place} cannot be reached: {error.os_error}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise NoAnswer(f"{place} gave no reply: {type(error).__name__}") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, id: str, body: bytes, keys: tuple[bytes, ...]) -> int:
        import aiohttp

        if self._session is None:
            self._session = _session(self._endpoint)
        timestamp = int(time.time())  # the receiver compares it with its own clock
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(keys, id, timestamp, body),
        }
        async with self._session.post(
            self._endpoint.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            with suppress(aiohttp.ClientError, TimeoutError):  # the status is known
                async with asyncio.timeout(READ_SECONDS):
                    await response.content.read(MOST_READ_BYTES)
            return response.status


def signature(
    keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes
) -> str:
    """The value of ``webhook-signature``, as Standard Webhooks says: one signature for
    each key.

    A receiver that knows any of the keys accepts it.
    """
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests)


def _session(endpoint: WebhookEndpoint) -> ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            ssl=ssl.create_default_context(),
            keepalive_timeout=IDLE_SECONDS,
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=None if endpoint.allow_private else _public_socket,
        ),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def _public_socket(found: Any) -> socket.socket:
    """A socket for the address that was found. Raises `PrivateAddress`."""
    family, kind, protocol, _, address = found
    if not is_public(address[0]):
        raise PrivateAddress(
            f"{address[0]} is not a public address, and the endpoint is not "
            '"allow_private"'
        )
    return socket.socket(family=family, type=kind, proto=protocol)
