"""What reads the posts of a provider, as an app with its settings has it."""

from __future__ import annotations

from typing import Any

from flask_outbox.config import EventSettings
from flask_outbox.feedback import Feedback
from flask_outbox.feedback.provider import EventRequest, ProviderEvents, Said
from flask_outbox.feedback.sns import SnsEvents
from flask_outbox.transports.registry import find_events
from tests.provider_events.posting import Provider, Sns, Web


def event_settings(provider: Provider, **changed: Any) -> EventSettings:
    """The provider's settings, as they are read from an app's."""
    given = {**provider.settings, **changed}
    secret, topics = given.get("MAIL_EVENTS_SECRET"), given.get("MAIL_EVENTS_TOPICS")
    return EventSettings(
        provider.scheme,
        _several(secret) if not callable(secret) else secret,
        _several(topics),
    )


def _several(given: Any) -> tuple[str, ...]:
    return tuple(([given] if isinstance(given, str) else given) or ())


def reader(
    provider: Provider, web: Web | None = None, **changed: Any
) -> ProviderEvents:
    """What an app with these settings reads the provider's posts with."""
    settings = event_settings(provider, **changed)
    kind = find_events(provider.scheme)
    kind.check_settings(settings)
    if isinstance(provider, Sns):
        assert issubclass(kind, SnsEvents)
        return kind(settings, web or provider.web())
    return kind(settings)


def said(events: ProviderEvents, request: EventRequest) -> Said:
    """What a post says that passes the check."""
    events.check(request)
    return events.read(request)


def only(found: Said) -> Feedback:
    """The one report in it."""
    (feedback,) = found.feedback
    return feedback
