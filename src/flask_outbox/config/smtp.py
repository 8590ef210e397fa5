"""An SMTP server's settings, from ``MAIL_URL`` or Flask-Mail's keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult

from ..errors import ConfigError
from .url import ENCODE, connection_settings, login_of

PLACE_KEYS = ("MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL",
               "MAIL_USERNAME", "MAIL_PASSWORD")  # fmt: skip
"""The keys that ``MAIL_URL`` replaces."""


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The settings of the SMTP transport."""

    host: str
    port: int
    security: str = "plain"
    """``plain``, ``starttls`` (required) or ``tls`` (from the first byte)."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    oauth_token: Callable[[], Any] | None = field(default=None, repr=False)
    """Returns the access token for `username`, used instead of a password."""
    half_login: str | None = None
    """The missing half of a login, "password" or "user name"; then there is no
    login.
    """
    auth_mechanism: str | None = None
    """``PLAIN``, ``LOGIN`` or ``CRAM-MD5``, or with a token ``XOAUTH2`` or
    ``OAUTHBEARER``; None to choose from those offered.
    """
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
    """Whether to send commands before the reply to the content; None to decide by
    the server's greeting.
    """
    idle_seconds: float = 30.0
    """How long an unused connection stays open: long enough for the next mail of a
    burst, shorter than the minute or more after which servers and routers drop it.
    """

    @property
    def place(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"


def smtp_settings(
    parts: SplitResult | None, values: Mapping[str, Any], *, leaves: bool
) -> SmtpSettings:
    """The server that ``MAIL_URL`` names, in its ``parts``, or else Flask-Mail's keys.

    Login and certificate are only checked if mail ``leaves``.
    """
    place = _from_keys(values) if parts is None else _from_url(parts)
    settings = _with_the_rest(place, values)
    if not leaves:
        return settings
    if parts is None:
        settings = _without_half_a_login(settings)
    _check_login(settings)
    _check_client_certificate(settings)
    return settings


def _without_half_a_login(settings: SmtpSettings) -> SmtpSettings:
    """Drop a login without user name or password, as Flask-Mail does."""
    username, password = settings.username, settings.password
    if settings.oauth_token is not None or bool(username) == bool(password):
        return settings
    missing = "password" if username else "user name"
    return replace(settings, username=None, password=None, half_login=missing)


def _with_the_rest(place: dict[str, Any], values: Mapping[str, Any]) -> SmtpSettings:
    """The settings of a server, with the keys that apply to every server."""
    return SmtpSettings(
        **place,
        **connection_settings(values),
        oauth_token=values["MAIL_OAUTH_TOKEN"],
        auth_mechanism=values["MAIL_AUTH_MECHANISM"],
        auth_unencrypted=values["MAIL_AUTH_UNENCRYPTED"],
        client_cert_file=values["MAIL_TLS_CLIENT_CERT_FILE"],
        client_key_file=values["MAIL_TLS_CLIENT_KEY_FILE"],
        local_hostname=values["MAIL_LOCAL_HOSTNAME"],
        command_timeout_seconds=values["MAIL_COMMAND_TIMEOUT_SECONDS"],
        data_timeout_seconds=values["MAIL_DATA_TIMEOUT_SECONDS"],
        max_messages_per_connection=values["MAIL_MAX_EMAILS"],
        pipeline_after_content=values["MAIL_PIPELINE_AFTER_CONTENT"],
    )


_DEFAULT_PORTS = {"plain": 25, "starttls": 587, "tls": 465}
SMTP_SCHEMES = {"smtp": "plain", "smtp+starttls": "starttls", "smtps": "tls"}


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


def _from_url(parts: SplitResult) -> dict[str, Any]:
    """The settings in a URL; errors never show its password."""
    if not parts.hostname:
        raise ConfigError(
            "MAIL_URL names no host. It looks like "
            f'"smtp+starttls://user:password@smtp.example.com:587". {ENCODE}'
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"MAIL_URL has something after the host and port. {ENCODE}")
    security = SMTP_SCHEMES[parts.scheme]
    return {
        "host": parts.hostname,
        "port": parts.port or _DEFAULT_PORTS[security],
        "security": security,
        **login_of(parts),
    }


def _check_login(settings: SmtpSettings) -> None:
    """Refuse an incomplete login, two logins, and one that could be intercepted."""
    username, password = settings.username, settings.password
    if settings.oauth_token is not None:
        if password or not username:
            what = "a password is set too" if password else "no user name is set"
            raise ConfigError(
                f"MAIL_OAUTH_TOKEN logs in with a user name and a token, but {what}: "
                "set MAIL_USERNAME and no MAIL_PASSWORD, or the same in MAIL_URL."
            )
    elif bool(username) != bool(password):
        absent = "password" if username else "user name"
        raise ConfigError(
            f"MAIL_URL has no {absent} in its login: put both the user name and the "
            "password into it, or neither."
        )
    _check_mechanism(settings)
    if username and settings.security == "plain" and not settings.auth_unencrypted:
        raise ConfigError(
            f"The login would go to {settings.place} unencrypted, for anyone on the "
            "path to read. Set MAIL_USE_TLS (usually port 587) or MAIL_USE_SSL "
            "(usually 465), or begin MAIL_URL with smtp+starttls:// or smtps://. If "
            "the network is safe, set MAIL_AUTH_UNENCRYPTED = True."
        )


TOKEN_MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


def _check_mechanism(settings: SmtpSettings) -> None:
    mechanism, by_token = settings.auth_mechanism, settings.oauth_token is not None
    if mechanism is None or (mechanism in TOKEN_MECHANISMS) == by_token:
        return
    raise ConfigError(
        f"MAIL_AUTH_MECHANISM is {mechanism!r}, which logs in with a "
        + (
            "password, and MAIL_OAUTH_TOKEN is set: it must be "
            f"{' or '.join(map(repr, TOKEN_MECHANISMS))}, or unset."
            if by_token
            else "token: set MAIL_OAUTH_TOKEN too."
        )
    )


def _check_client_certificate(settings: SmtpSettings) -> None:
    if settings.client_key_file and not settings.client_cert_file:
        raise ConfigError(
            "MAIL_TLS_CLIENT_KEY_FILE is set without its certificate: set "
            "MAIL_TLS_CLIENT_CERT_FILE too."
        )
    if settings.client_cert_file and settings.security == "plain":
        raise ConfigError(
            "MAIL_TLS_CLIENT_CERT_FILE is set, but TLS is not: set MAIL_USE_TLS or "
            "MAIL_USE_SSL, or begin MAIL_URL with smtp+starttls:// or smtps://."
        )
