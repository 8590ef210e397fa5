"""Named transports: ``MAIL_TRANSPORTS``, and the default one from the other keys."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from ..limits import Limit
from .convert import is_unset
from .events import EVENT_KEYS, EventSettings, event_settings
from .keys import KEYS
from .smtp import PLACE_KEYS, SMTP_SCHEMES, SmtpSettings, smtp_settings
from .url import InboxSettings, UrlSettings, split_url, url_settings

DEFAULT = "default"
"""The transport of messages for which no other is chosen."""

WHOLE_APP = {
    "MAIL_DEFAULT_SENDER",
    "MAIL_SUPPRESS_SEND",
    "MAIL_ASCII_ATTACHMENTS",
    "MAIL_DEBUG",
    "MAIL_DKIM_KEYS",
    "MAIL_TRANSPORTS",
    "MAIL_ROUTE",
    "MAIL_FAILOVER",
}
"""``MAIL_*`` keys that do not belong to one transport."""

ONE_SERVERS = {
    "MAIL_URL",
    *PLACE_KEYS,
    "MAIL_API_KEY",
    "MAIL_OAUTH_TOKEN",
    "MAIL_AUTH_MECHANISM",
    "MAIL_AUTH_UNENCRYPTED",
    "MAIL_TLS_VERIFY",
    "MAIL_TLS_CLIENT_CERT_FILE",
    "MAIL_TLS_CLIENT_KEY_FILE",
    *EVENT_KEYS,
}
"""Keys that apply to one server only: its address, the login and the trust in it."""

_OWN = {
    key.name: key
    for key in KEYS
    if key.name.startswith("MAIL_") and key.name not in WHOLE_APP
}


AdapterSettings = SmtpSettings | UrlSettings | InboxSettings
"""The settings of one transport's adapter."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """One transport in the app's settings."""

    adapter: AdapterSettings
    limits: tuple[Limit, ...] = ()
    suppressed: bool = False
    """Whether its mail is stored here instead of being sent."""
    events: EventSettings | None = None
    """How its provider's events are checked; None if none are taken."""

    @property
    def keeps_mail(self) -> bool:
        """Whether its mail goes to the dev inbox."""
        return self.suppressed or isinstance(self.adapter, InboxSettings)

    @property
    def place(self) -> str:
        """Where its mail goes, for people."""
        return (InboxSettings() if self.keeps_mail else self.adapter).place


@dataclass(frozen=True, slots=True)
class TransportReader:
    """Reads a transport's settings from a URL or from keys of its own.

    ``config`` has the app's own ``MAIL_*`` keys, which a transport inherits unless it
    sets them itself; ``values`` has all keys, converted. Unless mail ``leaves``, all of
    it stays in the dev inbox.
    """

    config: Mapping[str, Any] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    developing: bool
    leaves: bool

    def read(self, given: str | Mapping[str, Any]) -> TransportSettings:
        """The settings that ``given`` describes. Raises `ConfigError`."""
        own = {"MAIL_URL": given} if isinstance(given, str) else dict(given)
        _refuse_unknown(own)
        whole = {**_inherited(self.config, own), **own}
        read = {one: key.read(whole) for one, key in _OWN.items()}
        return self._made(whole, {**self.values, **read})

    def default(self) -> TransportSettings:
        """The settings of the transport that the app's own keys describe."""
        return self._made(self.config, self.values)

    def _made(
        self, config: Mapping[str, Any], values: Mapping[str, Any]
    ) -> TransportSettings:
        adapter = _adapter_settings(
            config, values, developing=self.developing, leaves=self.leaves
        )
        limits = values["MAIL_RATE"] or ()
        return TransportSettings(
            adapter,
            limits,
            suppressed=not self.leaves,
            events=event_settings(adapter, values),
        )


def transport_reader(
    config: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    developing: bool,
    leaves: bool,
) -> TransportReader:
    """The reader of one app's transports; it does not keep the app's other settings."""
    given = {
        name: value
        for name, value in config.items()
        if name in _OWN and not is_unset(value)
    }
    return TransportReader(given, values, developing, leaves)


def transport_settings(reader: TransportReader) -> dict[str, TransportSettings]:
    """Every transport that the app's settings name, `DEFAULT` first."""
    given = reader.values["MAIL_TRANSPORTS"] or {}
    named = {name: _named(name, one, reader) for name, one in given.items()}
    if DEFAULT not in named:
        if named and not reader.developing:
            _check_default_transport(reader.config, among=named)
        named[DEFAULT] = reader.default()
    return {DEFAULT: named.pop(DEFAULT), **named}


def _adapter_settings(
    config: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    developing: bool,
    leaves: bool,
) -> AdapterSettings:
    """How mail is sent, by ``MAIL_URL`` or Flask-Mail's keys."""
    given = [name for name in PLACE_KEYS if not is_unset(config.get(name))]
    if not values["MAIL_URL"]:
        if given:
            return smtp_settings(None, _without_api_key(values), leaves=leaves)
        if developing:
            return InboxSettings()
        raise ConfigError(
            "Flask-Outbox does not know how mail leaves: set MAIL_URL, for example "
            '"smtp+starttls://user:password@smtp.example.com:587", or MAIL_SERVER. '
            'To keep all mail here instead, set MAIL_URL = "inbox://".'
        )
    if given:
        raise ConfigError(
            f"MAIL_URL and {given[0]} are both set: MAIL_URL says all of it in one "
            f"string, so remove {' and '.join(given)}."
        )
    parts = split_url(values["MAIL_URL"])
    if parts.scheme == "inbox":
        return InboxSettings()
    if parts.scheme in SMTP_SCHEMES:
        return smtp_settings(parts, _without_api_key(values), leaves=leaves)
    return url_settings(parts, values)


def _without_api_key(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if values["MAIL_API_KEY"] is not None:
        raise ConfigError(
            "MAIL_API_KEY is set, and mail leaves by SMTP, where nothing asks for it: "
            "set MAIL_USERNAME and MAIL_PASSWORD, or the MAIL_URL of a transport with "
            "an HTTP API."
        )
    return values


def check_failover(
    failover: Mapping[str, tuple[str, ...]], names: Mapping[str, object]
) -> None:
    """Refuse a failover from or to an unknown transport, or to itself."""
    for name, others in failover.items():
        for one in (name, *others):
            if one not in names:
                raise ConfigError(
                    f"MAIL_FAILOVER names {one!r}, and there is no such transport: "
                    f"this app has {listed(names)}."
                )
        if name in others or len(set(others)) < len(others):
            raise ConfigError(
                f"MAIL_FAILOVER[{name!r}] is {list(others)!r}: name other transports "
                "than itself, each once."
            )


def listed(names: Mapping[str, object]) -> str:
    """The names for a sentence: ``'bulk', 'default'``."""
    return ", ".join(repr(one) for one in sorted(names))


def _check_default_transport(
    config: Mapping[str, Any], among: Mapping[str, object]
) -> None:
    if not names_server(config):
        raise ConfigError(
            f"MAIL_TRANSPORTS names {listed(among)}, and nothing says how other mail "
            f"leaves: name one {DEFAULT!r} there, or set MAIL_URL or MAIL_SERVER."
        )


def names_server(config: Mapping[str, Any]) -> bool:
    """Whether any of the keys is about a server."""
    return any(not is_unset(config.get(name)) for name in ("MAIL_URL", *PLACE_KEYS))


def _named(
    name: str, given: str | Mapping[str, Any], reader: TransportReader
) -> TransportSettings:
    try:
        return reader.read(given)
    except ConfigError as error:
        raise ConfigError(f"MAIL_TRANSPORTS[{name!r}]: {error}") from error


def _inherited(config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a transport inherits from the keys of the app.

    A transport with its own server inherits nothing about another server.
    """
    elsewhere = not all(is_unset(own.get(name)) for name in ("MAIL_URL", "MAIL_SERVER"))
    return {
        name: value
        for name, value in config.items()
        if not (elsewhere and name in ONE_SERVERS)
    }


def _refuse_unknown(own: Mapping[str, Any]) -> None:
    for key in own:
        if key in WHOLE_APP:
            raise ConfigError(
                f"{key} is for the whole app: set it outside MAIL_TRANSPORTS."
            )
        if key not in _OWN:
            near = difflib.get_close_matches(str(key), _OWN, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            named = key if str(key).isupper() else "One of its keys"
            raise ConfigError(
                f"{named} is not a setting of a transport.{hint}", anchor="unknown"
            )
