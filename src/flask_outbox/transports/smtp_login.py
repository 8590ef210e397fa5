"""Logs in (RFC 4954): by password or by token, never in the clear unless told so."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any

import aiosmtplib
from aiosmtplib.auth import auth_plain_encode, auth_xoauth2_encode

from ..config import SmtpSettings
from ..daemon_executor import DaemonExecutor
from ..delivery import Reply
from . import smtp_trouble
from .smtp_client import Client
from .smtp_trouble import Step, as_reply


async def log_in(client: Client, settings: SmtpSettings) -> Reply:
    """Log in as the settings say, and return what the server replied.

    By XOAUTH2 with a fresh token where the settings have a function for it, else by the
    first of CRAM-MD5 (RFC 2195), PLAIN (RFC 4616) and LOGIN that the server offers and
    accepts. No secret is in the reply or in an error, even where the server repeats it.
    Raises `TransportDown`, and what aiosmtplib raises.
    """
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
    username, password = settings.username or "", settings.password or ""
    login = client.login(username, password)
    plain = auth_plain_encode(username, password).decode()
    return await _redacted(login, (plain, *_forms(password)))


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
        raise smtp_trouble.no_token(f"raised {error!r}", settings) from error
    if not isinstance(token, str) or not token:
        given = "an empty string" if token == "" else f"a {type(token).__name__}"
        raise smtp_trouble.no_token(f"returned {given}", settings)
    return token
