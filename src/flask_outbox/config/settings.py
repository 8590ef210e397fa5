"""One app's settings: read from its config, checked, frozen."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..patience import Patience
from .dkim import DkimKey
from .keys import KEYS
from .misspelt import nearly
from .smtp import SmtpSettings
from .transports import (
    DEFAULT,
    TransportSettings,
    check_failover,
    listed,
    transport_settings,
)

_NAMES = {key.name: key for key in KEYS}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one app asked for, checked."""

    transports: Mapping[str, TransportSettings]
    failover: Mapping[str, tuple[str, ...]]
    route: Mapping[str, str] | Callable[[Any, str | None], str | None] | None
    suppress: bool
    default_sender: str | tuple[str, str] | None
    ascii_attachments: bool
    dkim_keys: tuple[DkimKey, ...]
    debug: bool
    url: str = field(repr=False)
    listen_url: str | None = field(repr=False)
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
    give_up_after: Patience
    on_unknown: str
    unknown_wait_seconds: float
    keep_bodies: float
    keep_rows: float
    only_to: tuple[str, ...] | None
    redirect_to: str | None
    unsubscribe_path: str | None
    dashboard: str | Callable[[], bool] | None
    dashboard_path: str

    @property
    def smtp(self) -> SmtpSettings | None:
        """How mail leaves that names no transport; None when it stays here."""
        return self.transports[DEFAULT].smtp

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
        """Make the settings of one app from its config.

        ``default_url`` is where the outbox is kept when ``OUTBOX_URL`` is not set, and
        ``folder`` what a relative path in it starts from.
        Raises `ConfigError` for an unknown ``OUTBOX_*`` key (and suggests the nearest),
        a value that cannot be, a contradiction, and a production app that does not
        say how its mail leaves.
        """
        _refuse_unknown(config)
        values = {key.name: key.read(config) for key in KEYS}
        suppress = values["MAIL_SUPPRESS_SEND"]
        suppress = testing if suppress is None else suppress
        transports = transport_settings(
            config,
            values,
            developing=debug or testing or suppress,
            leaves=not suppress,
        )
        failover = values["MAIL_FAILOVER"] or {}
        check_failover(failover, transports)
        _check_route(values["MAIL_ROUTE"], transports)
        own = {
            one.name: values[key]
            for one in fields(cls)
            if (key := f"OUTBOX_{one.name.upper()}") in values
        }
        own.update(
            transports=_kept_here(transports) if suppress else transports,
            route=values["MAIL_ROUTE"],
            failover=failover,
            suppress=suppress,
            default_sender=values["MAIL_DEFAULT_SENDER"],
            ascii_attachments=values["MAIL_ASCII_ATTACHMENTS"],
            dkim_keys=values["MAIL_DKIM_KEYS"],
            debug=bool(values["MAIL_DEBUG"]),
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


def _kept_here(
    transports: Mapping[str, TransportSettings],
) -> Mapping[str, TransportSettings]:
    return {name: replace(one, smtp=None) for name, one in transports.items()}


def _check_route(route: Any, transports: Mapping[str, TransportSettings]) -> None:
    for tag, name in (route or {}).items() if not callable(route) else ():
        if name not in transports:
            raise ConfigError(
                f"MAIL_ROUTE sends the tag {tag!r} to {name!r}, and there is no such "
                f"transport: this app has {listed(transports)}."
            )


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse ``OUTBOX_*`` that is no key, and ``MAIL_*`` that nearly is one."""
    for name in config:
        if name in _NAMES:
            continue
        if name.startswith("OUTBOX_"):
            near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{name} is not a setting of Flask-Outbox.{hint}")
        if name.startswith("MAIL_") and (meant := nearly(name, config)):
            raise ConfigError(
                f"{name} is not a setting of Flask-Outbox. Did you mean {meant}? If it "
                "is a setting of your own, give it another name."
            )
