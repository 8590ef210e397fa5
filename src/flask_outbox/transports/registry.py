"""Finds the adapter of a URL's scheme: our own, and other packages' by entry point."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from ..config import (
    InboxSettings,
    SmtpSettings,
    TransportReader,
    TransportSettings,
    UrlSettings,
)
from ..delivery import Envelope
from ..errors import ConfigError, MessageError
from ..message.text import shown
from ..recipient_guard import Guard
from .base import Transport
from .inbox import InboxTransport
from .resolver import FindTransport
from .smtp import SmtpTransport
from .wrapping import NamingTransport, RedirectingTransport

if TYPE_CHECKING:
    from ..feedback.provider import ProviderEvents

ENTRY_POINTS = "flask_outbox.transports"
"""The group in which packages name their transports, each by its scheme."""

BUILT_IN: Mapping[str, str] = {
    "brevo": "flask_outbox.transports.brevo:BrevoTransport",
    "gmail": "flask_outbox.transports.gmail:GmailTransport",
    "graph": "flask_outbox.transports.graph:GraphTransport",
    "mailersend": "flask_outbox.transports.mailersend:MailerSendTransport",
    "mailgun": "flask_outbox.transports.mailgun:MailgunTransport",
    "mailjet": "flask_outbox.transports.mailjet:MailjetTransport",
    "postmark": "flask_outbox.transports.postmark:PostmarkTransport",
    "resend": "flask_outbox.transports.resend:ResendTransport",
    "scaleway": "flask_outbox.transports.scaleway:ScalewayTransport",
    "sendgrid": "flask_outbox.transports.sendgrid:SendGridTransport",
    "ses": "flask_outbox.transports.ses:SesTransport",
    "sparkpost": "flask_outbox.transports.sparkpost:SparkPostTransport",
}
"""Schemes of our own adapters, and where these are; imported only where one is used."""


def check_transports(transports: Mapping[str, TransportSettings]) -> None:
    """Raise `ConfigError` for a scheme that no adapter has, or a URL that its adapter
    cannot use; the text names the transport.
    """
    for name, one in transports.items():
        try:
            _check(one)
        except ConfigError as error:
            if name == "default":
                raise
            raise ConfigError(f"MAIL_TRANSPORTS[{name!r}]: {error}") from error


def _check(transport: TransportSettings) -> None:
    if transport.events is not None:
        find_events(transport.events.scheme).check_settings(transport.events)
    if isinstance(transport.adapter, UrlSettings):
        adapter = find_adapter(transport.adapter.scheme)
        settings = with_options(adapter, transport.adapter)
        if not transport.keeps_mail:
            adapter.check_settings(settings)


def resolve(
    name: str, find: FindTransport, reader: TransportReader
) -> TransportSettings:
    """The settings of a transport that the app's resolver finds.

    Raises `ConfigError`, whose text says why ``name`` has no transport.
    """
    try:
        given = find(name)
    except Exception as error:
        raise ConfigError(
            f"the transport resolver raised {shown(error)} for {name!r}"
        ) from error
    if given is None:
        raise ConfigError(f"the transport resolver returned None for {name!r}")
    if not given or not isinstance(given, str | Mapping):
        raise ConfigError(
            f"the transport resolver returned a value of type {type(given).__name__} "
            f"for {name!r}: it must be a URL, a dict of MAIL_* keys, or None"
        )
    try:
        found = reader.read(given)
        _check(found)
    except ConfigError as error:
        raise ConfigError(
            f"what the transport resolver returned for {name!r} cannot be used: {error}"
        ) from error
    return found


def check_message(
    transport: TransportSettings, envelope: Envelope, content: bytes
) -> None:
    """Raise `MessageError` if a message could never leave by this transport."""
    if isinstance(transport.adapter, UrlSettings) and not transport.keeps_mail:
        adapter = find_adapter(transport.adapter.scheme)
        try:
            adapter.check_message(envelope, content)
        except MessageError as error:
            if type(error) is MessageError:
                error.anchor = "transport"
            raise


def transport_for(transport: TransportSettings, guard: Guard) -> Transport:
    """The adapter for these settings, which opens nothing yet.

    Mail to a server is redirected if ``guard`` says so.
    """
    if transport.keeps_mail or isinstance(transport.adapter, InboxSettings):
        return InboxTransport()
    made = _made(transport.adapter)
    if isinstance(transport.adapter, SmtpSettings) and transport.events is not None:
        made = NamingTransport(made, find_events(transport.events.scheme))
    return RedirectingTransport(made, guard) if guard.redirect_to else made


def _made(settings: SmtpSettings | UrlSettings) -> Transport:
    if isinstance(settings, SmtpSettings):
        return SmtpTransport(settings)
    adapter: Any = find_adapter(settings.scheme)
    made: Transport = adapter(with_options(adapter, settings))
    made.scheme = settings.scheme
    return made


def find_events(scheme: str) -> type[ProviderEvents]:
    """What reads the events of a scheme's provider. Raises `ConfigError` if it posts
    none.
    """
    events = find_adapter(scheme).events
    if events is None:
        raise ConfigError(
            f"MAIL_EVENTS_SECRET, MAIL_EVENTS_TOPICS or MAIL_EVENTS_FROM is set, and "
            f"{scheme}:// has no events: remove it."
        )
    return events


_found: dict[str, type[Transport]] = {}


def find_adapter(scheme: str) -> type[Transport]:
    """The transport of a scheme, imported at its first use.

    Raises `ConfigError` if there is none, or if it cannot be imported.
    """
    if scheme not in _found:
        _found[scheme] = _load(scheme)
    return _found[scheme]


def _load(scheme: str) -> type[Transport]:
    entry = _entry(scheme)
    try:
        adapter = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The transport of {scheme}:// cannot be imported from {entry.value}: "
            f"{error}"
        ) from error
    if not (isinstance(adapter, type) and issubclass(adapter, Transport)):
        raise ConfigError(
            f"The transport of {scheme}:// is {entry.value}, which is not a subclass "
            "of flask_outbox.Transport."
        )
    return adapter


def _entry(scheme: str) -> EntryPoint:
    if scheme in BUILT_IN:
        return EntryPoint(scheme, BUILT_IN[scheme], ENTRY_POINTS)
    others = {one.name: one for one in entry_points(group=ENTRY_POINTS)}
    if scheme in others:
        return others[scheme]
    known = ["smtp", "smtp+starttls", "smtps", "inbox", *BUILT_IN, *sorted(others)]
    listed = ", ".join(f"{one}://" for one in known)
    raise ConfigError(
        f"MAIL_URL begins with {scheme!r}: it must begin with one of {listed}, or the "
        "scheme of a transport that another package adds."
    )


def with_options(adapter: type[Transport], settings: UrlSettings) -> UrlSettings:
    """The settings with the options that the adapter declares, checked.

    Raises `ConfigError` for an option that it does not have, and suggests the nearest.
    """
    names = [one.name for one in adapter.options]
    for given in settings.query:
        if given not in names:
            near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            known = f"It has {', '.join(names)}." if names else "It has none."
            shown = f"the option {given}" if near else "an option"
            raise ConfigError(
                f"MAIL_URL has {shown} that {settings.scheme}:// does not "
                f"have. {known}{hint}"
            )
    options = {one.name: one.read(settings.query) for one in adapter.options}
    return replace(settings, options=options)
