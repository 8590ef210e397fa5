"""What an app knows of a provider's events: who sends them, and how that is proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from .smtp import SmtpSettings
from .url import InboxSettings, UrlSettings

EVENT_KEYS = ("MAIL_EVENTS_SECRET", "MAIL_EVENTS_TOPICS", "MAIL_EVENTS_FROM")
"""The keys about the events of one transport's provider."""

Secrets = tuple[str, ...] | Callable[[], Any]
"""Those that are good at present, or a function that returns one or several."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """How the events of one transport's provider are told from forged ones."""

    scheme: str
    """The provider, by the scheme of its transport."""
    secrets: Secrets = field(default=(), repr=False)
    topics: tuple[str, ...] = ()
    ca_file: str | None = None
    """The authorities that what is fetched is verified against; None for the system's.
    """


def event_settings(
    adapter: SmtpSettings | UrlSettings | InboxSettings, values: Mapping[str, Any]
) -> EventSettings | None:
    """The settings of a transport's events; None if it takes none.

    Raises `ConfigError` for keys that do not fit together.
    """
    given = [name for name in EVENT_KEYS if values[name] is not None]
    if not given or isinstance(adapter, InboxSettings):
        return None
    if values["OUTBOX_EVENTS_PATH"] is None:
        raise ConfigError(
            f"{given[0]} is set, and no page takes events: set OUTBOX_EVENTS_PATH too, "
            'as in OUTBOX_EVENTS_PATH = "/mail-events".'
        )
    return EventSettings(
        scheme=_scheme(adapter, values["MAIL_EVENTS_FROM"]),
        secrets=values["MAIL_EVENTS_SECRET"] or (),
        topics=values["MAIL_EVENTS_TOPICS"] or (),
        ca_file=adapter.ca_file if isinstance(adapter, UrlSettings) else None,
    )


def _scheme(adapter: SmtpSettings | UrlSettings, provider: str | None) -> str:
    if isinstance(adapter, UrlSettings):
        if provider not in (None, adapter.scheme):
            raise ConfigError(
                f"MAIL_EVENTS_FROM is {provider!r}, and mail leaves by "
                f"{adapter.scheme}://, whose events these are: remove it."
            )
        return adapter.scheme
    if provider is None:
        raise ConfigError(
            "MAIL_EVENTS_SECRET or MAIL_EVENTS_TOPICS is set, and mail leaves by SMTP: "
            "set MAIL_EVENTS_FROM to the provider whose SMTP server that is, as in "
            'MAIL_EVENTS_FROM = "postmark".'
        )
    return provider
