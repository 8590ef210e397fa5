"""How mail leaves: ``MAIL_URL`` or Flask-Mail's keys, made one `SmtpSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigError

_PLACE_KEYS = ("MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL",
               "MAIL_USERNAME", "MAIL_PASSWORD")  # fmt: skip


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Everything the SMTP transport needs to know."""

    host: str
    port: int
    security: str = "plain"
    """``plain``, ``starttls`` (demanded) or ``tls`` (from the first byte)."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify: bool = True
    local_hostname: str | None = None
    connect_timeout_seconds: float = 15.0
    command_timeout_seconds: float = 60.0
    data_timeout_seconds: float = 600.0
    deadline_seconds: float = 900.0
    max_messages_per_connection: int = 1_000
    max_connections: int = 10

    @property
    def place(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"


def smtp_settings(
    config: Mapping[str, Any], values: dict[str, Any], developing: bool
) -> SmtpSettings | None:
    """Where mail leaves by ``MAIL_URL`` or Flask-Mail's keys, or None for the inbox."""
    given = [name for name in _PLACE_KEYS if config.get(name) is not None]
    if values["MAIL_URL"]:
        if given:
            raise ConfigError(
                f"MAIL_URL and {given[0]} are both set: MAIL_URL says all of it in one "
                f"string, so remove {' and '.join(given)}."
            )
        place = _from_url(values["MAIL_URL"])
    elif given:
        place = _from_keys(values)
    elif developing:
        return None
    else:
        raise ConfigError(
            "Flask-Outbox does not know how mail leaves: set MAIL_URL, for example "
            '"smtp+starttls://user:password@smtp.example.com:587", or MAIL_SERVER. '
            'To keep all mail here instead, set MAIL_URL = "inbox://".'
        )
    if place is None:
        return None
    return SmtpSettings(
        **place,
        ca_file=values["MAIL_TLS_CA_FILE"],
        verify=values["MAIL_TLS_VERIFY"],
        local_hostname=values["MAIL_LOCAL_HOSTNAME"],
        connect_timeout_seconds=values["MAIL_CONNECT_TIMEOUT_SECONDS"],
        command_timeout_seconds=values["MAIL_COMMAND_TIMEOUT_SECONDS"],
        data_timeout_seconds=values["MAIL_DATA_TIMEOUT_SECONDS"],
        deadline_seconds=values["MAIL_DEADLINE_SECONDS"],
        max_messages_per_connection=values["MAIL_MAX_EMAILS"],
        max_connections=values["OUTBOX_CONCURRENCY"],
    )


_ENCODE = 'A "/", "?", "#" or "@" in the password must be percent-encoded.'
_DEFAULT_PORTS = {"plain": 25, "starttls": 587, "tls": 465}
_SCHEMES = {"smtp": "plain", "smtp+starttls": "starttls", "smtps": "tls"}


def _from_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    if values["MAIL_USE_TLS"] and values["MAIL_USE_SSL"]:
        raise ConfigError(
            "MAIL_USE_TLS and MAIL_USE_SSL are both set: MAIL_USE_TLS is STARTTLS "
            "(port 587), MAIL_USE_SSL is TLS from the first byte (port 465). Keep one."
        )
    security = "plain"
    if values["MAIL_USE_TLS"]:
        security = "starttls"
    elif values["MAIL_USE_SSL"]:
        security = "tls"
    port = values["MAIL_PORT"] or (465 if security == "tls" else 25)
    return _with_login(
        {"host": values["MAIL_SERVER"], "port": port, "security": security},
        values["MAIL_USERNAME"],
        values["MAIL_PASSWORD"],
    )


def _from_url(url: str) -> dict[str, Any] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(
            "MAIL_URL cannot be read: after the host comes a port from 1 to 65535, or "
            f"nothing. {_ENCODE}"
        ) from None
    if parts.scheme == "inbox":
        return None
    _check_url(parts)
    security = _SCHEMES[parts.scheme]
    return _with_login(
        {
            "host": parts.hostname,
            "port": port or _DEFAULT_PORTS[security],
            "security": security,
        },
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


def _check_url(parts: SplitResult) -> None:
    """Refuse what the URL cannot mean; its password is never shown."""
    if parts.scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in (*_SCHEMES, "inbox"))
        raise ConfigError(
            f"MAIL_URL begins with {parts.scheme!r}: it must begin with one of {known}."
        )
    if not parts.hostname:
        raise ConfigError(
            "MAIL_URL names no host. It looks like "
            f'"smtp+starttls://user:password@smtp.example.com:587". {_ENCODE}'
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"MAIL_URL has something after the host and port. {_ENCODE}")


def _with_login(
    place: dict[str, Any], username: str | None, password: str | None
) -> dict[str, Any]:
    if bool(username) != bool(password):
        absent = "password" if username else "user name"
        raise ConfigError(
            f"The mail server's login has no {absent}: set both the user name and the "
            "password, or neither."
        )
    return {**place, "username": username, "password": password}
