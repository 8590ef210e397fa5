"""SMTP AUTH (RFC 4954), by password or token; without TLS only if that is allowed."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from math import inf
from typing import Any, cast

import aiosmtplib
from aiosmtplib.auth import auth_plain_encode, auth_xoauth2_encode
from aiosmtplib.protocol import SMTPProtocol

from ...concurrency import DaemonExecutor
from ...config import SmtpSettings
from ...delivery import Reply
from ...errors import TransportDown, raised
from ...oauth import AccessTokens
from . import errors
from .errors import Step, as_reply


class Client(aiosmtplib.SMTP):
    """aiosmtplib's client; it also records its step and can release its transport."""

    step = Step.REACH
    greeting = ""
    """The text of the server's greeting."""

    async def greeted(self, reached: socket.socket) -> aiosmtplib.SMTPResponse:
        """Read the server's greeting over a socket, which the client owns from now on.

        Makes the TLS handshake first if the client uses TLS from the start.
        """
        try:
            return await self.connect(sock=reached)
        except BaseException:
            reached.close()
            raise

    def close(self) -> None:
        """Close the connection at once, without waiting for TLS's closing handshake."""
        transport = self.transport
        super().close()
        if transport is not None:
            cast(asyncio.Transport, transport).abort()

    def release_transport(self) -> asyncio.Transport:
        """Return the transport and forget it, so that this client cannot close it.

        Raises aiosmtplib's `SMTPServerDisconnected` if it is closed already.
        """
        if not self.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        transport = cast(asyncio.Transport, self.transport)
        self.transport: asyncio.BaseTransport | None = None
        self.protocol: SMTPProtocol | None = None
        return transport

    @property
    def encrypted(self) -> bool:
        """Whether TLS protects the connection."""
        return self.get_transport_info("ssl_object") is not None


ACCEPTED_SECONDS = 60.0
"""How long after an accepted login connections may log in at the same time."""


class Login:
    """Logs connections in to one server, so that only one of them tries a wrong login.

    If no login was accepted lately, one connection goes first. The others wait for its
    result, and a rejection holds for them, too.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._first = asyncio.Lock()
        self._accepted_at = -inf
        self.rejections: int = 0
        """How many logins were rejected."""
        self._rejection = (0, "")

    async def log_in(self, client: Client, rejections: int) -> Reply:
        """Log in and return the server's reply.

        Uses XOAUTH2 or OAUTHBEARER (RFC 7628) with a fresh token if the settings have a
        function for it, else one of PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195). A
        token of `flask_outbox.oauth` that is rejected is renewed once. ``rejections``
        is the number
        when the connection was begun: if there are more now, they hold for it, too. No
        secret is in the reply or in an error, even if the server repeats it. Raises
        `TransportDown`, and what aiosmtplib raises.
        """
        if self._is_new:
            async with self._first:
                if self.rejections > rejections:
                    raise aiosmtplib.SMTPAuthenticationError(*self._rejection)
                if self._is_new:
                    return await self._try(client)
        return await self._try(client)

    @property
    def _is_new(self) -> bool:
        return time.monotonic() > self._accepted_at + ACCEPTED_SECONDS

    async def _try(self, client: Client) -> Reply:
        try:
            reply = await _log_in(client, self._settings)
        except aiosmtplib.SMTPAuthenticationError as error:
            self._accepted_at = -inf
            self.rejections += 1
            self._rejection = (error.code, error.message)
            raise
        self._accepted_at = time.monotonic()
        return reply


async def _log_in(client: Client, settings: SmtpSettings) -> Reply:
    if not (client.encrypted or settings.auth_unencrypted):
        raise errors.unencrypted_login(settings)
    if not client.supports_extension("auth"):
        raise errors.no_auth(settings)
    if settings.oauth_token is None:
        client.step = Step.AUTH
        return await _by_password(client, settings)
    return await _by_token(client, settings, settings.oauth_token)


async def _by_password(client: Client, settings: SmtpSettings) -> Reply:
    """Try one mechanism; try the next one if the server does not support it."""
    username, password = settings.username or "", settings.password or ""
    plain = auth_plain_encode(username, password).decode()
    *others, last = _ways(client, settings)
    for way in others:
        try:
            return await _redacted(
                way(client, username, password), (plain, *_encoded_forms(password))
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code not in _NOT_TRIED or not client.is_connected:
                raise
    return await _redacted(
        last(client, username, password), (plain, *_encoded_forms(password))
    )


_Way = Callable[[Client, str, str], Awaitable[Any]]

_NOT_TRIED = {432, 500, 502, 504}
"""Replies that mean the mechanism is not supported; the password was not checked."""


def _ways(client: Client, settings: SmtpSettings) -> list[_Way]:
    """The offered mechanisms that we know, the best first.

    CRAM-MD5 protects the password without TLS, but many servers that offer it do not
    store passwords in the form that it needs.
    """
    offered = client.server_auth_methods
    known = [settings.auth_mechanism] if settings.auth_mechanism else list(_WAYS)
    if client.encrypted:
        known.sort(key=lambda name: name == "CRAM-MD5")
    ways = [_WAYS[name] for name in known if name.lower() in offered]
    if not ways:
        raise errors.no_mechanism(offered, settings)
    return ways


async def _by_login(client: Client, username: str, password: str) -> Any:
    """LOGIN, without an initial response, which not all servers accept."""
    reply = await client.execute_command(b"AUTH", b"LOGIN")
    for answer in (username, password):
        if reply.code != _GO_ON:
            break
        reply = await client.execute_command(base64.b64encode(answer.encode()))
    if reply.code != _LOGGED_IN:
        raise aiosmtplib.SMTPAuthenticationError(reply.code, reply.message)
    return reply


_WAYS: dict[str, _Way] = {
    "CRAM-MD5": Client.auth_crammd5,
    "PLAIN": Client.auth_plain,
    "LOGIN": _by_login,
}
_LOGGED_IN, _GO_ON = 235, 334


# ---------------------------------------------------------------------- by a token


async def _by_token(
    client: Client, settings: SmtpSettings, ask: Callable[[], Any]
) -> Reply:
    """Log in with a token; once more with another if that can be renewed."""
    way = _token_way(client, settings)
    client.step = Step.ASK
    token = await _fresh_token(ask, settings)
    client.step = Step.AUTH
    try:
        return await way(client, settings, token)
    except aiosmtplib.SMTPAuthenticationError as error:
        if error.code != _REJECTED or not isinstance(ask, AccessTokens):
            raise
        client.step = Step.ASK
        another = await _fresh_token(partial(ask.renew, token), settings)
        client.step = Step.AUTH
        if another == token or not client.is_connected:
            raise
    return await way(client, settings, another)


def _token_way(client: Client, settings: SmtpSettings) -> _TokenWay:
    offered = client.server_auth_methods
    chosen = settings.auth_mechanism
    for name, way in _TOKEN_WAYS.items():
        if name.lower() in offered and chosen in (None, name):
            return way
    raise errors.no_token_mechanism(offered, settings)


async def _by_xoauth2(client: Client, settings: SmtpSettings, token: str) -> Reply:
    """https://developers.google.com/workspace/gmail/imap/xoauth2-protocol."""
    username = settings.username or ""
    login = client.auth_xoauth2(username, token)
    xoauth2 = auth_xoauth2_encode(username, token).decode()
    return await _redacted(login, (xoauth2, *_encoded_forms(token)))


async def _by_oauthbearer(client: Client, settings: SmtpSettings, token: str) -> Reply:
    """RFC 7628. The reason of a rejection is a challenge; the answer to it is ^A."""
    name = (settings.username or "").replace("=", "=3D").replace(",", "=2C")
    said = (
        f"n,a={name},\1host={settings.host}\1port={settings.port}\1"
        f"auth=Bearer {token}\1\1"
    )
    response = base64.b64encode(said.encode())
    login = _oauthbearer(client, response)
    return await _redacted(login, (response.decode(), *_encoded_forms(token)))


async def _oauthbearer(client: Client, response: bytes) -> Any:
    reply = await client.execute_command(b"AUTH", b"OAUTHBEARER", response)
    if reply.code == _GO_ON:
        reply = await client.execute_command(base64.b64encode(b"\1"))
    if reply.code != _LOGGED_IN:
        raise aiosmtplib.SMTPAuthenticationError(reply.code, reply.message)
    return reply


_TokenWay = Callable[[Client, SmtpSettings, str], Awaitable[Reply]]

_TOKEN_WAYS: dict[str, _TokenWay] = {
    "XOAUTH2": _by_xoauth2,
    "OAUTHBEARER": _by_oauthbearer,
}
_REJECTED = 535


def _encoded_forms(secret: str) -> Iterator[str]:
    yield base64.b64encode(secret.encode()).decode()
    yield secret


async def _redacted(login: Any, secrets: tuple[str, ...]) -> Reply:
    """Await a login; put ``***`` for each secret in its reply or error."""
    try:
        reply = await login
    except aiosmtplib.SMTPAuthenticationError as error:
        text = _redact(secrets, error.message)
        raise aiosmtplib.SMTPAuthenticationError(error.code, text) from None
    return as_reply(reply.code, _redact(secrets, reply.message))


def _redact(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


async def _fresh_token(ask: Callable[[], Any], settings: SmtpSettings) -> str:
    """Call ``ask`` in a daemon thread, as it may block, and return its token."""
    asking = asyncio.get_running_loop().run_in_executor(DaemonExecutor(), ask)
    try:
        token = await asking
    except TransportDown:
        raise
    except (Exception, SystemExit) as error:
        raise errors.no_token(f"raised {raised(error)}", settings) from None
    if not isinstance(token, str) or not token:
        given = "an empty string" if token == "" else f"a {type(token).__name__}"
        raise errors.no_token(f"returned {given}", settings)
    return token
