"""Transports by name: ``MAIL_TRANSPORTS``, beside what the other keys describe."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import ConfigError
from ..rate import Limit
from .convert import is_unset
from .keys import KEYS
from .smtp import PLACE_KEYS, SmtpSettings, smtp_settings

DEFAULT = "default"
"""The transport of every message for which nobody names another."""

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
"""``MAIL_*`` keys that are not a transport's own."""

ONE_SERVERS = {
    "MAIL_URL",
    *PLACE_KEYS,
    "MAIL_OAUTH_TOKEN",
    "MAIL_AUTH_MECHANISM",
    "MAIL_AUTH_UNENCRYPTED",
    "MAIL_TLS_VERIFY",
    "MAIL_TLS_CLIENT_CERT_FILE",
    "MAIL_TLS_CLIENT_KEY_FILE",
}
"""Keys that are true of one server only: where it is, who we are to it, and what it may
be trusted with."""

_OWN = {
    key.name: key
    for key in KEYS
    if key.name.startswith("MAIL_") and key.name not in WHOLE_APP
}


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """One transport, as the app's settings describe it."""

    smtp: SmtpSettings | None
    """None where its mail is kept in the dev inbox."""
    limits: tuple[Limit, ...] = ()

    @property
    def place(self) -> str:
        """Where its mail goes, for people."""
        return self.smtp.place if self.smtp else "the dev inbox"


def transport_settings(
    config: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    developing: bool,
    leaves: bool,
) -> dict[str, TransportSettings]:
    """Every transport of the app by its name, `DEFAULT` first."""
    smtp = partial(smtp_settings, developing=developing, leaves=leaves)
    named = {
        name: _named(name, given, config, values, smtp)
        for name, given in (values["MAIL_TRANSPORTS"] or {}).items()
    }
    if DEFAULT not in named:
        if named and not developing:
            _check_that_other_mail_leaves(config, among=named)
        by_default = smtp(config, dict(values))
        named[DEFAULT] = TransportSettings(by_default, values["MAIL_RATE"] or ())
    return {DEFAULT: named.pop(DEFAULT), **named}


def check_failover(
    failover: Mapping[str, tuple[str, ...]], names: Mapping[str, object]
) -> None:
    """Refuse a failover from or to what is no transport, or to itself."""
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
    """The names in a sentence: ``'bulk', 'default'``."""
    return ", ".join(repr(one) for one in sorted(names))


def _check_that_other_mail_leaves(
    config: Mapping[str, Any], among: Mapping[str, object]
) -> None:
    if not says_where(config):
        raise ConfigError(
            f"MAIL_TRANSPORTS names {listed(among)}, and nothing says how other mail "
            f"leaves: name one {DEFAULT!r} there, or set MAIL_URL or MAIL_SERVER."
        )


def says_where(config: Mapping[str, Any]) -> bool:
    """Whether a key says to which server mail goes, or anything about that server."""
    return any(not is_unset(config.get(name)) for name in ("MAIL_URL", *PLACE_KEYS))


def _named(
    name: str,
    given: str | Mapping[str, Any],
    config: Mapping[str, Any],
    values: Mapping[str, Any],
    smtp: Callable[[Mapping[str, Any], dict[str, Any]], SmtpSettings | None],
) -> TransportSettings:
    own = {"MAIL_URL": given} if isinstance(given, str) else dict(given)
    try:
        _refuse_unknown(own)
        whole = {**_inherited(config, own), **own}
        read = {one: key.read(whole) for one, key in _OWN.items()}
        leaves_by = smtp(whole, {**values, **read})
    except ConfigError as error:
        raise ConfigError(f"MAIL_TRANSPORTS[{name!r}]: {error}") from error
    return TransportSettings(leaves_by, read["MAIL_RATE"] or ())


def _inherited(config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a transport takes over from the keys outside.

    One that names its own server takes over nothing that was said of another.
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
            raise ConfigError(f"{key} holds for the whole app: set it outside.")
        if key not in _OWN:
            near = difflib.get_close_matches(str(key), _OWN, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            named = key if str(key).isupper() else "One of its keys"
            raise ConfigError(f"{named} is not a setting of a transport.{hint}")
