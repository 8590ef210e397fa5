"""How mail leaves: ``MAIL_URL`` or Flask-Mail's keys, made one `SmtpSettings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigError
from .convert import is_unset

PLACE_KEYS = ("MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL",
               "MAIL_USERNAME", "MAIL_PASSWORD")  # fmt: skip
"""The keys that ``MAIL_URL`` stands for."""


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Everything the SMTP transport needs to know."""

    host: str
    port: int
    security: str = "plain"
    """``plain``, ``starttls`` (demanded) or ``tls`` (from the first byte)."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    oauth_token: Callable[[], Any] | None = field(default=None, repr=False)
    """Gives the access token with which `username` logs in, in place of a password."""
    half_login: str | None = None
    """What is missing of a login, "password" or "user name", which is then not made."""
    auth_mechanism: str | None = None
    """``PLAIN``, ``LOGIN`` or ``CRAM-MD5``; None leaves it to what is offered."""
    auth_unencrypted: bool = False
    ca_file: str | None = None
    verify: bool = True
    client_cert_file: str | None = None
    client_key_file: str | None = None
    local_hostname: str | None = None
    connect_timeout_seconds: float = 15.0
    command_timeout_seconds: float = 60.0
    data_timeout_seconds: float = 600.0
    deadline_seconds: float = 900.0
    max_messages_per_connection: int = 100
    max_connections: int = 10
    pipeline_after_content: bool | None = None
    """Whether commands may follow a content before its verdict; None goes by greeting.
    """
    idle_seconds: float = 30.0
    """How long an unused connection is kept: long enough for the next mail of a burst,
    shorter than the minute or more after which servers and routers drop it themselves.
    """

    @property
    def place(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"


def smtp_settings(
    config: Mapping[str, Any],
    values: dict[str, Any],
    *,
    developing: bool,
    leaves: bool,
) -> SmtpSettings | None:
    """Where mail leaves by ``MAIL_URL`` or Flask-Mail's keys, or None for the inbox.

    Only where mail ``leaves`` at all is it looked at whether a server could take it.
    """
    given = [name for name in PLACE_KEYS if not is_unset(config.get(name))]
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
    settings = _with_the_rest(place, values)
    if not leaves:
        return settings
    if not values["MAIL_URL"]:
        settings = _without_half_a_login(settings)
    _check_login(settings)
    _check_client_certificate(settings)
    return settings


def _without_half_a_login(settings: SmtpSettings) -> SmtpSettings:
    """As Flask-Mail, which logs in only where it has a user name and a password."""
    username, password = settings.username, settings.password
    if settings.oauth_token is not None or bool(username) == bool(password):
        return settings
    missing = "password" if username else "user name"
    return replace(settings, username=None, password=None, half_login=missing)


def _with_the_rest(place: dict[str, Any], values: Mapping[str, Any]) -> SmtpSettings:
    """The settings, of a place and the keys that go with every place."""
    return SmtpSettings(
        **place,
        oauth_token=values["MAIL_OAUTH_TOKEN"],
        auth_mechanism=values["MAIL_AUTH_MECHANISM"],
        auth_unencrypted=values["MAIL_AUTH_UNENCRYPTED"],
        ca_file=values["MAIL_TLS_CA_FILE"],
        verify=values["MAIL_TLS_VERIFY"],
        client_cert_file=values["MAIL_TLS_CLIENT_CERT_FILE"],
        client_key_file=values["MAIL_TLS_CLIENT_KEY_FILE"],
        local_hostname=values["MAIL_LOCAL_HOSTNAME"],
        connect_timeout_seconds=values["MAIL_CONNECT_TIMEOUT_SECONDS"],
        command_timeout_seconds=values["MAIL_COMMAND_TIMEOUT_SECONDS"],
        data_timeout_seconds=values["MAIL_DATA_TIMEOUT_SECONDS"],
        deadline_seconds=values["MAIL_DEADLINE_SECONDS"],
        max_messages_per_connection=values["MAIL_MAX_EMAILS"],
        max_connections=values["MAIL_MAX_CONNECTIONS"] or values["OUTBOX_CONCURRENCY"],
        pipeline_after_content=values["MAIL_PIPELINE_AFTER_CONTENT"],
        idle_seconds=values["MAIL_IDLE_SECONDS"],
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
    return {
        "host": values["MAIL_SERVER"],
        "port": port,
        "security": security,
        "username": values["MAIL_USERNAME"],
        "password": values["MAIL_PASSWORD"],
    }


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
    return {
        "host": parts.hostname,
        "port": port or _DEFAULT_PORTS[security],
        "security": security,
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


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


def _check_login(settings: SmtpSettings) -> None:
    """Refuse half a login, two in one, and one that anyone on the path could read."""
    username, password = settings.username, settings.password
    if settings.oauth_token is not None:
        if password or not username:
            what = "a password is set too" if password else "no user name is set"
            raise ConfigError(
                f"MAIL_OAUTH_TOKEN logs in a user name with a token, and {what}: set "
                "MAIL_USERNAME and no MAIL_PASSWORD, or the same in MAIL_URL."
            )
    elif bool(username) != bool(password):
        absent = "password" if username else "user name"
        raise ConfigError(
            f"MAIL_URL has no {absent} in its login: put both the user name and the "
            "password into it, or neither."
        )
    if username and settings.security == "plain" and not settings.auth_unencrypted:
        raise ConfigError(
            f"The login would go to {settings.place} unencrypted, for anyone on the "
            "path to read. Set MAIL_USE_TLS (usually port 587) or MAIL_USE_SSL "
            "(usually 465), or begin MAIL_URL with smtp+starttls:// or smtps://. Where "
            "the link is safe, MAIL_AUTH_UNENCRYPTED = True says so."
        )


def _check_client_certificate(settings: SmtpSettings) -> None:
    if settings.client_key_file and not settings.client_cert_file:
        raise ConfigError(
            "MAIL_TLS_CLIENT_KEY_FILE is set without its certificate: set "
            "MAIL_TLS_CLIENT_CERT_FILE too."
        )
    if settings.client_cert_file and settings.security == "plain":
        raise ConfigError(
            "MAIL_TLS_CLIENT_CERT_FILE is set, and no TLS is: set MAIL_USE_TLS or "
            "MAIL_USE_SSL, or begin MAIL_URL with smtp+starttls:// or smtps://."
        )
