"""Logs in (RFC 4954): by password or by token, never in the clear unless told so."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Iterator
from math import inf
from typing import Any

import aiosmtplib
from aiosmtplib.auth import auth_plain_encode, auth_xoauth2_encode

from ..config import SmtpSettings
from ..daemon_executor import DaemonExecutor
from ..delivery import Reply
from ..errors import raised
from . import smtp_trouble
from .smtp_client import Client
from .smtp_trouble import Step, as_reply

ACCEPTED_SECONDS = 60.0
"""How long a login that was accepted lets others log in at the same time."""


class Login:
    """How connections log in to one server: a wrong login is tried by one of them only.

    Where none was accepted of late, one connection goes first. The others wait for what
    comes of it, and its rejection is theirs.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._first = asyncio.Lock()
        self._accepted_at = -inf
        self.rejections = 0
        """How many there were."""
        self._rejection = (0, "")

    async def log_in(self, client: Client, rejections: int) -> Reply:
        """Log in, and return what the server replied.

        ``rejections`` is how many there were when the connection was begun: if there
        have been more, one of them is ours.

        By XOAUTH2 with a fresh token where the settings have a function for it, else by
        one of PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195). No secret is in the
        reply or in an error, even where the server repeats it. Raises `TransportDown`,
        and what aiosmtplib raises.
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
        raise smtp_trouble.unencrypted_login(settings)
    if not client.supports_extension("auth"):
        raise smtp_trouble.no_auth(settings)
    if settings.oauth_token is None:
        client.step = Step.AUTH
        return await _by_password(client, settings)
    if "xoauth2" not in client.server_auth_methods:
        raise smtp_trouble.no_xoauth2(client.server_auth_methods, settings)
    client.step = Step.ASK
    token = await _fresh_token(settings.oauth_token, settings)
    client.step = Step.AUTH
    return await _by_token(client, settings, token)


async def _by_password(client: Client, settings: SmtpSettings) -> Reply:
    """Try one way, or the next where the server does not take that one after all."""
    username, password = settings.username or "", settings.password or ""
    plain = auth_plain_encode(username, password).decode()
    *others, last = _ways(client, settings)
    for way in others:
        try:
            return await _redacted(
                way(client, username, password), (plain, *_forms(password))
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code not in _NOT_TRIED or not client.is_connected:
                raise
    return await _redacted(last(client, username, password), (plain, *_forms(password)))


_Way = Callable[[Client, str, str], Awaitable[Any]]

_NOT_TRIED = {432, 500, 502, 504}
"""The server did not look at the password: it does not take this way to log in."""


def _ways(client: Client, settings: SmtpSettings) -> list[_Way]:
    """What is offered, the best first: CRAM-MD5 is of use where others read along, but
    many who offer it keep no password that it could be checked with.
    """
    offered = client.server_auth_methods
    known = [settings.auth_mechanism] if settings.auth_mechanism else list(_WAYS)
    if client.encrypted:
        known.sort(key=lambda name: name == "CRAM-MD5")
    ways = [_WAYS[name] for name in known if name.lower() in offered]
    if not ways:
        raise smtp_trouble.no_mechanism(offered, settings)
    return ways


async def _by_login(client: Client, username: str, password: str) -> Any:
    """LOGIN, without the answer ahead of the question that not all servers take."""
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


async def _by_token(client: Client, settings: SmtpSettings, token: str) -> Reply:
    username = settings.username or ""
    login = client.auth_xoauth2(username, token)
    xoauth2 = auth_xoauth2_encode(username, token).decode()
    return await _redacted(login, (xoauth2, *_forms(token)))


def _forms(secret: str) -> Iterator[str]:
    yield base64.b64encode(secret.encode()).decode()
    yield secret


async def _redacted(login: Any, secrets: tuple[str, ...]) -> Reply:
    """Await a login; its reply, or its refusal, with ``***`` for each secret."""
    try:
        reply = await login
    except aiosmtplib.SMTPAuthenticationError as error:
        text = _without(secrets, error.message)
        raise aiosmtplib.SMTPAuthenticationError(error.code, text) from None
    return as_reply(reply.code, _without(secrets, reply.message))


def _without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


async def _fresh_token(ask: Callable[[], Any], settings: SmtpSettings) -> str:
    """What ``ask`` returns, in a daemon thread: it may wait for another server."""
    asking = asyncio.get_running_loop().run_in_executor(DaemonExecutor(), ask)
    try:
        token = await asking
    except (Exception, SystemExit) as error:
        raise smtp_trouble.no_token(f"raised {raised(error)}", settings) from None
    if not isinstance(token, str) or not token:
        given = "an empty string" if token == "" else f"a {type(token).__name__}"
        raise smtp_trouble.no_token(f"returned {given}", settings)
    return token
