"""The HTTP client of all APIs: one request, and its reply or why there is none."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from ...config import UrlSettings
from ...delivery import Progress
from ...errors import OVERDUE, AccountTrouble, LeaseLost, TransportDown

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

MAX_REPLY_BYTES = 1024 * 1024
"""Longer replies are not read to their end."""

USER_AGENT = "Flask-Outbox"

AT_ONCE_BYTES = 16 * 1024
"""A request of up to this size leaves in one piece."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request. No secret is in its ``repr``."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True)
class ApiReply:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Found by their names in lower case."""
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON; an empty dict where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def get(self, name: str) -> str:
        """What the body, a JSON object, has under this name; "" without it."""
        body = self.json
        value = body.get(name) if isinstance(body, dict) else None
        return "" if value is None else str(value)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class NotSent(Exception):
    """The connection broke before the last byte of the request: nothing was taken."""


class NoReply(Exception):
    """The request left whole, and no whole reply came: it may have been taken."""


class TooLong(NoReply):
    """The reply has more than `MAX_REPLY_BYTES`."""


class ApiClient:
    """Sends requests to one API over connections that are kept open.

    Follows no redirect, reads at most `MAX_REPLY_BYTES`, and bounds each call. Heeds
    the environment's ``HTTPS_PROXY`` and ``NO_PROXY``.
    """

    def __init__(self, settings: UrlSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.max_connections)
        self._session: ClientSession | None = None
        self._proxy: str | None = None

    async def post(
        self, request: ApiRequest, progresses: Sequence[Progress]
    ) -> ApiReply:
        """Send the request and return the reply, whatever it says.

        ``progresses`` has one for each message in it: ``final_dot_sent`` becomes true
        in all of them before the last byte leaves. Raises
        `NotSent`, `NoReply`, `LeaseLost`, and `TransportDown` if the API cannot be
        reached or a header cannot be sent.
        """
        return await self._bounded(request, _Sending(progresses))

    async def ask(self, request: ApiRequest) -> ApiReply:
        """Send a request that sends no mail, and return the reply, whatever it says.

        Raises `TooLong`, and `TransportDown` if there is no reply.
        """
        try:
            return await self._bounded(request, _Sending(()))
        except TooLong:
            raise
        except (NotSent, NoReply) as error:
            place = urlsplit(request.url).netloc
            raise TransportDown(f"{place} gave no complete answer: {error}.") from error

    async def _bounded(self, request: ApiRequest, sending: _Sending) -> ApiReply:
        import aiohttp

        place = urlsplit(request.url).netloc
        _check_headers(request, place)
        try:
            async with asyncio.timeout(self._settings.deadline_seconds), self._places:
                return await self._exchange(request, sending)
        except aiohttp.ConnectionTimeoutError as error:
            raise TransportDown(f"{place} did not answer.") from error
        except aiohttp.ClientConnectorError as error:
            raise TransportDown(
                f"{place} cannot be reached: {error.__cause__ or error}"
            ) from error
        except aiohttp.ClientHttpProxyError as error:
            raise TransportDown(
                f"{place} cannot be reached: the proxy answers {error.status}"
            ) from error
        except TimeoutError as error:
            raise sending.lost("the call took too long") from error
        except aiohttp.ClientError as error:
            raise sending.lost(f"{type(error).__name__} {error}") from error

    async def reach(self, url: str) -> None:
        """Return if the API answers anything but that it is broken.

        Raises `TransportDown` if it cannot be reached, or answers 5xx.
        """
        import aiohttp

        try:
            async with (
                asyncio.timeout(self._settings.connect_timeout_seconds),
                self._places,
                self._opened(url).head(
                    url, allow_redirects=False, proxy=self._proxy
                ) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransportDown(
                f"{url} cannot be reached: {type(error).__name__} {error}"
            ) from error
        if status >= 500:
            raise TransportDown(f"{url} answers {status}.")

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: ApiRequest, sending: _Sending) -> ApiReply:
        from yarl import URL

        headers = dict(request.headers)
        if request.body:
            headers["Content-Length"] = str(len(request.body))
        async with self._opened(request.url).request(
            request.method,
            URL(request.url, encoded=True),
            headers=headers,
            data=sending.pieces(request.body) if request.body else None,
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            body = await _read(response)
            return ApiReply(response.status, response.headers, body)

    def _opened(self, url: str) -> ClientSession:
        """The session that keeps the connections, and knows the proxy for ``url``.

        aiohttp's own ``trust_env`` would look for the proxy in a thread at each
        request, and refuse a request with a key if ``~/.netrc`` names the host.
        """
        if self._session is None:
            self._session = _session(self._settings)
            self._proxy = proxy_for(url)
        return self._session


class _Sending:
    """How far one request has left."""

    def __init__(self, progresses: Sequence[Progress]) -> None:
        self._progresses = progresses
        self._left = False
        """Whether its last byte has, or is about to."""
        self._overdue = False

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        """The body. Raises `LeaseLost` instead of its last byte."""
        self._check_lease()
        if len(body) > AT_ONCE_BYTES:
            yield body[:-1]
            self._check_lease()
            body = body[-1:]
        self._left = True
        for one in self._progresses:
            one.final_dot_sent = True
        yield body

    def _check_lease(self) -> None:
        if not all(one.lease_holds() for one in self._progresses):
            self._overdue = True
            raise LeaseLost(OVERDUE)

    def lost(self, why: str) -> NotSent | NoReply | LeaseLost:
        """What a request has come to that ended without a reply."""
        if self._overdue:
            return LeaseLost(OVERDUE)
        return NoReply(why) if self._left else NotSent(why)


def _session(settings: UrlSettings) -> ClientSession:
    """A session without limits of its own but those of time."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, ssl=_tls(settings), keepalive_timeout=settings.idle_seconds
        ),
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout_seconds,
            sock_read=settings.reply_timeout_seconds,
        ),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _tls(settings: UrlSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def as_query(pairs: Mapping[str, str | int]) -> str:
    """The pairs as the query of a URL, in alphabetical order."""
    return urlencode(sorted(pairs.items()), quote_via=quote)


def in_path(name: str) -> str:
    """A name or an address as one segment of the path of a URL."""
    return quote(name, safe="")


def proxy_for(url: str) -> str | None:
    """The proxy of ``HTTPS_PROXY`` for this URL, unless ``NO_PROXY`` has its host."""
    parts = urlsplit(url)
    named = getproxies_environment().get("https")
    if parts.scheme != "https" or not named or proxy_bypass(parts.hostname or ""):
        return None
    return named if "://" in named else f"http://{named}"


async def _read(response: ClientResponse) -> bytes:
    """The body of the reply. Raises `TooLong` if it is longer than any should be."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_REPLY_BYTES:
            raise TooLong("a reply without end")
    return body


def _check_headers(request: ApiRequest, place: str) -> None:
    """Refuse what no header may have, without showing it. Raises `AccountTrouble`."""
    for name, value in request.headers.items():
        if not (value.isascii() and value.isprintable()):
            raise AccountTrouble(
                f"The header {name} for {place} has a character that no header "
                "may have: is MAIL_API_KEY right, without a line break?"
            )
