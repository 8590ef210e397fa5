"""An app's settings: read from its config, validated, immutable."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..alerts import NO_LIMITS, AlertLimits
from ..errors import ConfigError
from ..limits import RetryWindow
from ..webhooks.kinds import ALERT_KINDS
from .convert import is_transport_name, is_unset
from .dkim import DkimKey
from .encryption import EncryptionKey
from .keys import KEYS
from .transports import (
    DEFAULT,
    TransportReader,
    TransportSettings,
    check_failover,
    listed,
    transport_reader,
    transport_settings,
)
from .webhooks import WebhookEndpoint

_NAMES = {key.name: key for key in KEYS}


@dataclass(frozen=True, slots=True)
class Settings:
    """An app's validated settings."""

    transports: Mapping[str, TransportSettings]
    reader: TransportReader = field(repr=False)
    """Reads what the app's transport resolver returns."""
    failover: Mapping[str, tuple[str, ...]]
    route: Mapping[str, str] | Callable[[Any, str | None], str | None] | None
    suppress: bool
    default_sender: str | tuple[str, str] | None
    ascii_attachments: bool
    dkim_keys: tuple[DkimKey, ...]
    debug: bool
    developing: bool
    """Whether the app is in debug or testing mode."""
    url: str = field(repr=False)
    listen_url: str | None = field(repr=False)
    encryption_keys: tuple[EncryptionKey, ...] | None
    engine: str
    durability: str
    concurrency: int
    tag_concurrency: Mapping[str, int]
    lease_seconds: float
    poll_seconds: float | None
    grace_seconds: float
    render_timeout_seconds: float
    backoff_base_seconds: float
    backoff_cap_seconds: float
    lane_pause_cap_seconds: float
    transport_cache_seconds: float
    give_up_after: RetryWindow
    on_unknown: str
    unknown_wait_seconds: float
    keep_bodies: float
    keep_rows: float
    keep_audit: float
    only_to: tuple[str, ...] | None
    redirect_to: str | None
    auto_suppress: tuple[str, ...]
    soft_bounce_count: int
    soft_bounce_days: int
    track_tags: tuple[str, ...] | bool
    bounce_address: str | None
    webhooks: Mapping[str, WebhookEndpoint]
    webhook_give_up_after: float
    bounce_mailbox: str | None = field(repr=False)
    unsubscribe_path: str | None
    events_path: str | None
    health_path: str | None
    alerts: AlertLimits | None
    alert_to: tuple[str, ...]
    alert_transport: str | None
    log: str
    traces: bool
    dashboard: str | Callable[[], object] | None
    dashboard_path: str
    dashboard_views: Mapping[str, Mapping[str, str]]
    audit_user: Callable[[], object] | None
    metrics: str | tuple[str, ...] | Callable[[], bool] | None = field(repr=False)
    metrics_path: str

    @property
    def default(self) -> TransportSettings:
        """The transport of messages for which no other is chosen."""
        return self.transports[DEFAULT]

    @property
    def alert_limits(self) -> AlertLimits:
        """When there is an alert: by default only if something is told of it."""
        if self.alerts is not None:
            return self.alerts
        asked = any(one.kinds & {*ALERT_KINDS} for one in self.webhooks.values())
        return AlertLimits() if asked or self.alert_to else NO_LIMITS

    def check_transport(self, name: str, *, resolves: bool = False) -> None:
        """Raise `ConfigError` unless the app has a transport of this name.

        With ``resolves`` it may have one with any name that is valid.
        """
        if name not in self.transports and not (resolves and is_transport_name(name)):
            raise ConfigError(
                f"There is no transport {name!r}: this app has "
                f"{listed(self.transports)}."
            )

    @classmethod
    def read(
        cls,
        config: Mapping[str, Any],
        *,
        default_url: str,
        folder: str = "",
        debug: bool = False,
        testing: bool = False,
    ) -> Settings:
        """Read the settings of an app from its config.

        ``default_url`` is the outbox's database if ``OUTBOX_URL`` is not set, and a
        relative path in it is relative to ``folder``. Raises `ConfigError` for an
        unknown ``OUTBOX_*`` key (and suggests the nearest), an invalid value, a
        contradiction, and a production app without a way to send mail.
        `flask_outbox.transports.registry.check_transports` checks the URLs of custom
        schemes.
        """
        _refuse_unknown(config)
        values = {key.name: key.read(config) for key in KEYS}
        suppress = values["MAIL_SUPPRESS_SEND"]
        suppress = testing if suppress is None else suppress
        reader = transport_reader(
            config,
            values,
            developing=debug or testing or suppress,
            leaves=not suppress,
        )
        transports = transport_settings(reader)
        failover = values["MAIL_FAILOVER"] or {}
        check_failover(failover, transports)
        _check_route(values["MAIL_ROUTE"], transports)
        _check_alert_mail(values, transports)
        own = {
            one.name: values[key]
            for one in fields(cls)
            if (key := f"OUTBOX_{one.name.upper()}") in values
        }
        own.update(
            transports=transports,
            reader=reader,
            route=values["MAIL_ROUTE"],
            failover=failover,
            suppress=suppress,
            default_sender=values["MAIL_DEFAULT_SENDER"],
            ascii_attachments=values["MAIL_ASCII_ATTACHMENTS"],
            dkim_keys=values["MAIL_DKIM_KEYS"],
            debug=bool(values["MAIL_DEBUG"]),
            developing=debug or testing,
            url=placed(values["OUTBOX_URL"] or default_url, folder),
        )
        return cls(**own)


def placed(url: str, folder: str) -> str:
    """``url`` with the path of an SQLite file made absolute."""
    kind, found, path = url.partition(":///")
    relative = found and path and not path.startswith((":memory:", "file:", "?"))
    if not (relative and kind.startswith("sqlite")):
        return url
    return f"{kind}:///{Path(folder) / path}"


def _check_route(route: Any, transports: Mapping[str, TransportSettings]) -> None:
    for tag, name in (route or {}).items() if not callable(route) else ():
        if name not in transports:
            raise ConfigError(
                f"MAIL_ROUTE sends the tag {tag!r} to {name!r}, which is not a "
                f"transport: this app has {listed(transports)}."
            )


def _check_alert_mail(
    values: Mapping[str, Any], transports: Mapping[str, TransportSettings]
) -> None:
    """Raise `ConfigError` unless mail about alerts, if there is any, can leave."""
    transport = values["OUTBOX_ALERT_TRANSPORT"]
    if not values["OUTBOX_ALERT_TO"]:
        if transport is not None:
            raise ConfigError(
                "OUTBOX_ALERT_TRANSPORT has no effect: set OUTBOX_ALERT_TO, the "
                "addresses that are mailed about alerts, or remove it."
            )
        return
    if transport is None:
        raise ConfigError(
            "OUTBOX_ALERT_TO needs OUTBOX_ALERT_TRANSPORT: the name of the transport "
            "by which mail about alerts leaves, since it cannot leave by one that is "
            f"down. This app has {listed(transports)}."
        )
    if transport not in transports:
        raise ConfigError(
            f"OUTBOX_ALERT_TRANSPORT is {transport!r}, which is not a transport: this "
            f"app has {listed(transports)}."
        )
    if len(transports) == 1:
        raise ConfigError(
            f"OUTBOX_ALERT_TRANSPORT is {transport!r}, the app's only transport: mail "
            "about it could not leave while it is down. Add another to "
            "MAIL_TRANSPORTS."
        )
    if values["MAIL_DEFAULT_SENDER"] is None:
        raise ConfigError(
            "OUTBOX_ALERT_TO needs MAIL_DEFAULT_SENDER: the sender of mail about "
            "alerts."
        )


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse unknown ``OUTBOX_*`` keys, and ``MAIL_*`` keys that look misspelt."""
    for name in config:
        if name in _NAMES:
            continue
        if name.startswith(_OUTBOX):
            near = _nearest(name.removeprefix(_OUTBOX))
            hint = f" Did you mean {_OUTBOX}{near[0]}?" if near else ""
            raise ConfigError(
                f"{name} is not a setting of Flask-Outbox.{hint}", anchor="unknown"
            )
        if name.startswith("MAIL_") and (meant := _nearly(name, config)):
            raise ConfigError(
                f"{name} is not a setting of Flask-Outbox. Did you mean {meant}? If it "
                "is your own setting, rename it.",
                anchor="unknown",
            )


def _nearest(stem: str) -> list[str]:
    """The key that is most likely meant, if any: one that goes on where ``stem`` ends
    comes first.
    """
    longer = [one for one in _OUTBOX_STEMS if one.startswith(f"{stem}_")]
    return longer[:1] or difflib.get_close_matches(stem, _OUTBOX_STEMS, n=1, cutoff=0.5)


_MAIL = "MAIL_"
_OUTBOX = "OUTBOX_"

_SHORT = 4
"""Words of at most this many letters are not corrected, as they resemble too many
others: ``MAIL_DATE`` is not a misspelt ``MAIL_RATE``.
"""

_OTHER_WORDS = {
    "MAIL_SSL": "MAIL_USE_SSL",
    "MAIL_STARTTLS": "MAIL_USE_TLS",
    "MAIL_TLS": "MAIL_USE_TLS",
    "MAIL_URI": "MAIL_URL",
    "MAIL_USE_STARTTLS": "MAIL_USE_TLS",
}
"""Keys of other libraries. One is an error if our key is not set, because mail would be
sent unencrypted or by another server.
"""

_OUTBOX_STEMS = [
    key.name.removeprefix(_OUTBOX) for key in KEYS if key.name.startswith(_OUTBOX)
]
_STEMS = [key.name.removeprefix(_MAIL) for key in KEYS if key.name.startswith(_MAIL)]


def _nearly(name: str, config: Mapping[str, Any]) -> str | None:
    """The key of which ``name`` is a misspelling; None if it may belong to something
    else.
    """
    meant = _OTHER_WORDS.get(name)
    if meant is not None:
        return meant if is_unset(config.get(meant)) else None
    stem = name.removeprefix(_MAIL)
    return next((_MAIL + one for one in _STEMS if _is_typing_mistake(stem, one)), None)


def _is_typing_mistake(written: str, meant: str) -> bool:
    """Whether the words differ by one typing mistake."""
    if sorted(written.split("_")) == sorted(meant.split("_")):
        return True
    if sorted(written) == sorted(meant):
        return _are_two_swapped(written, meant)
    if len(meant) <= _SHORT:
        return False
    longer, shorter = sorted((written, meant), key=len, reverse=True)
    same = _common_start(longer, shorter)
    rest = longer[same + 1 :]
    return rest in (shorter[same:], shorter[same + 1 :])


def _are_two_swapped(written: str, meant: str) -> bool:
    same = _common_start(written, meant)
    swapped = meant[same : same + 2][::-1] + meant[same + 2 :]
    return written[same:] == swapped


def _common_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
