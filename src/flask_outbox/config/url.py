"""Parses ``MAIL_URL`` for its scheme's transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigError
from ..phrases import phrase

ENCODE = 'A "/", "?", "#" or "@" in the password must be percent-encoded.'


def split_url(url: str) -> SplitResult:
    """``MAIL_URL``, split. Raises `ConfigError`, which never shows a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError(
            "MAIL_URL cannot be read: after the host comes a port from 1 to 65535, or "
            f"nothing. {ENCODE}"
        ) from None
    if "://" not in url:
        raise ConfigError(
            "MAIL_URL is not a URL: it must begin with one of smtp://, "
            "smtp+starttls://, smtps://, inbox://, or another transport's scheme."
        )
    return parts


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """The settings of the dev inbox, where mail stays in the outbox."""

    @property
    def place(self) -> str:
        """Where mail goes, for people."""
        return phrase("the dev inbox")


@dataclass(frozen=True, slots=True)
class UrlSettings:
    """The settings of the transport of a scheme, from ``MAIL_URL`` and related keys.

    ``scheme://username:password@host:port/path?option=value``; only the scheme is
    required. Percent-encoding is decoded. The ``repr`` contains no secrets.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    """Without leading and trailing slashes."""
    username: str | None = field(default=None, repr=False)
    """Not in the ``repr``, since APIs have their key here."""
    password: str | None = field(default=None, repr=False)
    api_key: str | Callable[[], Any] | None = field(default=None, repr=False)
    """``MAIL_API_KEY``."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The options in the URL, as written."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options as the transport declares them: checked, with defaults."""
    ca_file: str | None = None
    verify: bool = True
    connect_timeout_seconds: float = 15.0
    reply_timeout_seconds: float = 60.0
    deadline_seconds: float = 900.0
    max_connections: int = 10
    idle_seconds: float = 30.0

    @property
    def place(self) -> str:
        """Where mail goes, for people: the scheme, or the host and port."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}"


def url_settings(parts: SplitResult, values: Mapping[str, Any]) -> UrlSettings:
    """The settings of a transport, from its URL and related keys."""
    if parts.fragment:
        raise ConfigError(f"MAIL_URL has a # in it. {ENCODE}")
    if parts.username and values["MAIL_API_KEY"] is not None:
        raise ConfigError(
            "MAIL_URL has a key or a user name before its @, and MAIL_API_KEY is set "
            "too: keep one."
        )
    return UrlSettings(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port,
        path=unquote(parts.path.strip("/")),
        **login_of(parts),
        api_key=values["MAIL_API_KEY"],
        query=_query(parts.query),
        reply_timeout_seconds=values["MAIL_COMMAND_TIMEOUT_SECONDS"],
        **connection_settings(values),
    )


def login_of(parts: SplitResult) -> dict[str, Any]:
    """``username`` and ``password`` of a URL, without percent-encoding."""
    return {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def connection_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of connections, which SMTP and HTTP APIs share."""
    return {
        "ca_file": values["MAIL_TLS_CA_FILE"],
        "verify": values["MAIL_TLS_VERIFY"],
        "connect_timeout_seconds": values["MAIL_CONNECT_TIMEOUT_SECONDS"],
        "deadline_seconds": values["MAIL_DEADLINE_SECONDS"],
        "max_connections": (
            values["MAIL_MAX_CONNECTIONS"] or values["OUTBOX_CONCURRENCY"]
        ),
        "idle_seconds": values["MAIL_IDLE_SECONDS"],
    }


def _query(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    query = dict(pairs)
    if len(query) < len(pairs):
        raise ConfigError("MAIL_URL has the same option twice: keep one.")
    return query


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
