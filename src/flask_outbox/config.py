"""Every setting declared once, and the one validated `Settings` made of them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .errors import ConfigError

DAY = 86_400.0

Convert = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name, what it takes, its default, and what it is for."""

    name: str
    type_name: str
    default: Any
    doc: str
    convert: Convert
    default_words: str = ""

    @property
    def default_text(self) -> str:
        """The default in words, for the documentation."""
        return self.default_words or repr(self.default)

    def read(self, config: Mapping[str, Any]) -> Any:
        """The value in ``config``, checked and converted, or the default.

        Raises `ConfigError` that names the key and shows the value.
        """
        value = config.get(self.name)
        return self.default if value is None else self.convert(self.name, value)


def _wrong(name: str, value: Any, wanted: str) -> ConfigError:
    return ConfigError(f"{name} is {value!r}: it must be {wanted}.")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a non-empty string")
    return value


def _path(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, value, "a path")
    path = os.fspath(value)
    if not Path(path).is_file():
        raise ConfigError(f"{name} names {path!r}, and there is no such file.")
    return str(path)


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def _flag(name: str, value: Any) -> bool:
    """True and False, and the words for them that environment variables hold."""
    if isinstance(value, bool | int):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _wrong(name, value, "True or False")


def _whole(least: int, most: int) -> Convert:
    def convert(name: str, value: Any) -> int:
        wanted = f"a whole number from {least} to {most}"
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise _wrong(name, value, wanted) from None
        if isinstance(value, float) or not least <= number <= most:
            raise _wrong(name, value, wanted)
        return number

    return convert


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise _wrong(name, value, "a number of seconds above 0, or a timedelta")
    return seconds


def _choice(*words: str) -> Convert:
    def convert(name: str, value: Any) -> str:
        if value not in words:
            raise _wrong(name, value, " or ".join(repr(word) for word in words))
        return str(value)

    return convert


def _sender(name: str, value: Any) -> str | tuple[str, str]:
    if isinstance(value, list | tuple) and len(value) == 2:
        return (str(value[0]), str(value[1]))
    if isinstance(value, str) and value:
        return value
    raise _wrong(name, value, "an address, or a pair of a name and an address")


KEYS: tuple[Key, ...] = (
    Key("MAIL_URL", "str", None, "How mail leaves, in one string in place of the keys "
        "from ``MAIL_SERVER`` to ``MAIL_PASSWORD``: ``smtp://``, ``smtp+starttls://`` "
        "or ``smtps://`` with ``user:password@host:port``, or ``inbox://`` to keep "
        "everything here.", _text, "none"),
    Key("MAIL_SERVER", "str", "127.0.0.1", "The SMTP server's host name.", _text),
    Key("MAIL_PORT", "int", None, "The SMTP server's port.", _whole(1, 65_535),
        "25; 465 with MAIL_USE_SSL; 587 for smtp+starttls://"),
    Key("MAIL_USE_TLS", "bool", False, "Begin in the clear and demand STARTTLS "
        "(RFC 3207) before anything else.", _flag),
    Key("MAIL_USE_SSL", "bool", False, "Speak TLS from the first byte (RFC 8314).",
        _flag),
    Key("MAIL_USERNAME", "str", None, "The name to log in with.", _text, "none"),
    Key("MAIL_PASSWORD", "str", None, "The password to log in with.", _text, "none"),
    Key("MAIL_DEFAULT_SENDER", "str or (name, address)", None, "The sender of messages "
        "that name none.", _sender, "none"),
    Key("MAIL_MAX_EMAILS", "int", 1_000, "Messages sent over one connection before it "
        "is closed and a new one opened.", _whole(1, 1_000_000)),
    Key("MAIL_SUPPRESS_SEND", "bool", None, "Keep all mail in the dev inbox instead of "
        "sending it.", _flag, "app.testing"),
    Key("MAIL_ASCII_ATTACHMENTS", "bool", False, "Turn attachments' file names into "
        "ASCII.", _flag),
    Key("MAIL_DEBUG", "bool", None, "Log each line of the SMTP dialogue, without "
        "secrets and without content.", _flag, "False"),
    Key("MAIL_CONNECT_TIMEOUT_SECONDS", "seconds", 15.0, "Bound on reaching a server, "
        "TLS included, and on its greeting.", _seconds),
    Key("MAIL_COMMAND_TIMEOUT_SECONDS", "seconds", 60.0, "Bound on the reply to one "
        "command.", _seconds),
    Key("MAIL_DATA_TIMEOUT_SECONDS", "seconds", 600.0, "Bound on the reply after the "
        "final dot; RFC 5321 section 4.5.3.2.6 asks for 10 minutes.", _seconds),
    Key("MAIL_DEADLINE_SECONDS", "seconds", 900.0, "Bound on one message's whole "
        "transaction, however slowly the server drips.", _seconds),
    Key("MAIL_LOCAL_HOSTNAME", "str", None, "The name said in EHLO.", _text,
        "this machine's name"),
    Key("MAIL_TLS_CA_FILE", "path", None, "Trust the authorities in this PEM file "
        "instead of the system's.", _path, "none"),
    Key("MAIL_TLS_VERIFY", "bool", True, "Verify the server's certificate and name. "
        "False lets anyone on the path read the mail and the password.", _flag),
    Key("OUTBOX_URL", "str", None, "Where the outbox is kept, as an SQLAlchemy URL.",
        _text, "sqlite: outbox.db in the instance folder"),
    Key("OUTBOX_ENGINE", "'thread' or 'external'", "thread", "Where couriers run: in a "
        "background thread of each process that sends, or only in "
        "``flask outbox worker``.", _choice("thread", "external")),
    Key("OUTBOX_DURABILITY", "'full' or 'process'", "full", "What a returned ``send()`` "
        "survives: a power cut, or only the end of the process.",
        _choice("full", "process")),
    Key("OUTBOX_CONCURRENCY", "int", 10, "Messages that one courier delivers at a time, "
        "and its connections at most.", _whole(1, 1_000)),
    Key("OUTBOX_LEASE_SECONDS", "seconds", 20.0, "How long a courier that falls silent "
        "keeps its messages; it renews at a quarter of this.", _seconds),
    Key("OUTBOX_POLL_SECONDS", "seconds", 2.0, "How often an idle courier looks for "
        "what other processes handed over or left behind.", _seconds),
    Key("OUTBOX_GRACE_SECONDS", "seconds", 10.0, "How long a courier that is told to "
        "stop may finish what it has begun.", _seconds),
    Key("OUTBOX_BACKOFF_BASE_SECONDS", "seconds", 10.0, "The longest wait before the "
        "second attempt; it doubles with each further one.", _seconds),
    Key("OUTBOX_BACKOFF_CAP_SECONDS", "seconds", 3_600.0, "The longest wait before any "
        "attempt.", _seconds),
    Key("OUTBOX_LANE_PAUSE_CAP_SECONDS", "seconds", 30.0, "The longest wait between two "
        "probes of a transport that is down.", _seconds),
    Key("OUTBOX_GIVE_UP_AFTER", "seconds or timedelta", 5 * DAY, "How long after its "
        "hand-over a deferred message is tried.", _seconds, "5 days"),
    Key("OUTBOX_ON_UNKNOWN", "'resend' or 'hold'", "resend", "What to do with a message "
        "whose link was lost after the final dot.", _choice("resend", "hold")),
    Key("OUTBOX_UNKNOWN_WAIT_SECONDS", "seconds", 300.0, "How long ``resend`` waits.",
        _seconds),
    Key("OUTBOX_KEEP_BODIES", "seconds or timedelta", 7 * DAY, "How long the content of "
        "a finished message is kept.", _seconds, "7 days"),
    Key("OUTBOX_KEEP_ROWS", "seconds or timedelta", 90 * DAY, "How long a finished "
        "message's record and story are kept.", _seconds, "90 days"),
)  # fmt: skip
"""Every key that Flask-Outbox reads from ``app.config``."""

_NAMES = {key.name: key for key in KEYS}
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


@dataclass(frozen=True, slots=True)
class Settings:
    """What one app asked for, checked. ``smtp`` is None when mail stays here."""

    smtp: SmtpSettings | None
    suppress: bool
    default_sender: str | tuple[str, str] | None
    ascii_attachments: bool
    debug: bool
    url: str
    engine: str
    durability: str
    concurrency: int
    lease_seconds: float
    poll_seconds: float
    grace_seconds: float
    backoff_base_seconds: float
    backoff_cap_seconds: float
    lane_pause_cap_seconds: float
    give_up_after: float
    on_unknown: str
    unknown_wait_seconds: float
    keep_bodies: float
    keep_rows: float

    @classmethod
    def read(
        cls,
        config: Mapping[str, Any],
        *,
        default_url: str,
        debug: bool = False,
        testing: bool = False,
    ) -> Settings:
        """Make the settings of one app from its config.

        ``default_url`` is where the outbox is kept when ``OUTBOX_URL`` is not set.
        Raises `ConfigError` for an unknown ``OUTBOX_*`` key (and suggests the nearest),
        a value that cannot be, a contradiction, and a production app that does not
        say how its mail leaves.
        """
        _refuse_unknown(config)
        values = {key.name: key.read(config) for key in KEYS}
        suppress = values["MAIL_SUPPRESS_SEND"]
        suppress = testing if suppress is None else suppress
        smtp = None if suppress else _smtp(config, values, debug or testing)
        own = {one.name: values.get(f"OUTBOX_{one.name.upper()}") for one in fields(cls)}
        own.update(
            smtp=smtp,
            suppress=suppress,
            default_sender=values["MAIL_DEFAULT_SENDER"],
            ascii_attachments=values["MAIL_ASCII_ATTACHMENTS"],
            debug=bool(values["MAIL_DEBUG"]),
            url=values["OUTBOX_URL"] or default_url,
        )
        return cls(**own)


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    for name in config:
        if name.startswith("OUTBOX_") and name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{name} is not a setting of Flask-Outbox.{hint}")


def _smtp(
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
    except ValueError as error:
        raise ConfigError(f"MAIL_URL cannot be read: {error}.") from None
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
            '"smtp+starttls://user:password@smtp.example.com:587"; a "/", "?", "#" or '
            '"@" in the password must be percent-encoded.'
        )
    if parts.path.strip("/") or parse_qsl(parts.query) or parts.fragment:
        raise ConfigError(
            "MAIL_URL has something after the host and port. If the password holds a "
            '"/", "?" or "#", percent-encode it.'
        )


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
