"""One app's settings: read from its config, checked, frozen."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .dkim import DkimKey
from .keys import KEYS
from .smtp import SmtpSettings, smtp_settings

_NAMES = {key.name: key for key in KEYS}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one app asked for, checked. ``smtp`` is None when mail stays here."""

    smtp: SmtpSettings | None
    suppress: bool
    default_sender: str | tuple[str, str] | None
    ascii_attachments: bool
    dkim_keys: tuple[DkimKey, ...]
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
        smtp = smtp_settings(config, values, debug or testing or suppress)
        own = {
            one.name: values[key]
            for one in fields(cls)
            if (key := f"OUTBOX_{one.name.upper()}") in values
        }
        own.update(
            smtp=None if suppress else smtp,
            suppress=suppress,
            default_sender=values["MAIL_DEFAULT_SENDER"],
            ascii_attachments=values["MAIL_ASCII_ATTACHMENTS"],
            dkim_keys=values["MAIL_DKIM_KEYS"],
            debug=bool(values["MAIL_DEBUG"]),
            url=_placed(values["OUTBOX_URL"] or default_url, folder),
        )
        return cls(**own)


def _placed(url: str, folder: str) -> str:
    """``url`` with the path of an SQLite file made absolute."""
    kind, found, path = url.partition(":///")
    relative = found and path and not path.startswith((":memory:", "file:", "?"))
    if not (relative and kind.startswith("sqlite")):
        return url
    return f"{kind}:///{Path(folder) / path}"


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    for name in config:
        if name.startswith("OUTBOX_") and name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{name} is not a setting of Flask-Outbox.{hint}")
