"""The whole examination, in bounded time; and a test mail, if a person asks for one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from ..concurrency import run_beside_loops
from ..config import Settings, SmtpSettings, TransportSettings, UrlSettings
from ..errors import ConfigError, OutboxError
from ..message import Address, Message
from ..outbox.records import Act, Actor, masked
from ..runtime import Runtime
from ..transports.smtp.connect import own_name
from .accounts import Senders
from .api import examine_api
from .configuration import examine_configuration
from .database import examine_database
from .domains import examine_domain, sending_domains, way_of
from .findings import Diagnosis, Section
from .lookups import LONGEST_SECONDS as DNS_SECONDS
from .lookups import DnspythonMissing, Lookups
from .smtp import examine_smtp
from .verdict import verdict_of

LONGEST_SECONDS = 20.0
"""The longest examination of one transport, unless another is given."""

SUBJECT = "Test mail of flask outbox doctor"


def examine(
    runtime: Runtime,
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    developing: bool = False,
    transports: Sequence[str] = (),
    domains: Sequence[str] = (),
    nameserver: str | None = None,
    send_to: str | None = None,
    longest_seconds: float | None = None,
    actor: Actor | None = None,
) -> Diagnosis:
    """Examine an app's configuration, database, transports and From domains.

    ``config`` is Flask's. By default all transports that the settings name are
    examined, and the domains of MAIL_DEFAULT_SENDER and MAIL_DKIM_KEYS. With
    ``send_to``, a test mail goes there by each of these transports; the audit trail has
    it if ``actor`` is given. After half of ``longest_seconds`` no transport is waited
    for any more, and after the other half no name server: what is not known by then is
    a finding. Starts no courier.
    Raises `ConfigError` for a transport or a name server that cannot be, and
    `AddressError`.
    """
    if send_to is not None:
        Address.parse(send_to, "send_to")
    chosen = {one: transport_settings(runtime, one) for one in transports}
    chosen = chosen or dict(runtime.settings.transports)
    half = None if longest_seconds is None else longest_seconds / 2
    ground = [
        examine_configuration(
            runtime.settings, config, environment, developing=developing
        ),
        examine_database(runtime),
    ]
    names = [one.lower().rstrip(".") for one in domains]
    senders = _senders(runtime.settings, names)
    ways = run_beside_loops(
        lambda: asyncio.run(_examine_transports(chosen, senders, half))
    )
    if send_to is not None:
        for section in ways:
            _send_test_mail(section, runtime, send_to, actor)
    names = names or sending_domains(runtime.settings)
    signed = _signed_by_all(
        section
        for section, one in zip(ways, chosen.values(), strict=True)
        if not one.keeps_mail
    )
    places = _examine_domains(runtime, names, signed, nameserver, half)
    verdicts = [
        verdict_of(one, [*ground, *ways]) for one in places if one.name in names
    ]
    return Diagnosis((*ground, *ways, *places), tuple(verdicts))


def _senders(settings: Settings, domains: Sequence[str]) -> Senders:
    """Those of these domains; that of MAIL_DEFAULT_SENDER where none are given."""
    sender = settings.default_sender
    address = None
    if sender is not None:
        address = Address.parse(sender, "MAIL_DEFAULT_SENDER").spec
        domains = domains or [address.rpartition("@")[2].lower()]
    return Senders(tuple(domains), address)


def transport_settings(runtime: Runtime, name: str) -> TransportSettings:
    """The settings of a transport by name, also of one that the app resolves.

    Raises `ConfigError` if there is none.
    """
    runtime.check_transport(name)
    found = runtime.settings.transports.get(name)
    return runtime.context.resolve(name) if found is None else found


async def _examine_transports(
    chosen: Mapping[str, TransportSettings],
    senders: Senders,
    longest_seconds: float | None,
) -> list[Section]:
    seconds = LONGEST_SECONDS if longest_seconds is None else longest_seconds
    sections = [Section("transport", name) for name in chosen]
    await asyncio.gather(
        *(
            _examine_transport(section, settings, senders, seconds)
            for section, settings in zip(sections, chosen.values(), strict=True)
        )
    )
    return sections


async def _examine_transport(
    section: Section, settings: TransportSettings, senders: Senders, seconds: float
) -> None:
    adapter = settings.adapter
    if settings.keeps_mail:
        section.note("Server", f"none: mail stays in {settings.place}")
    elif isinstance(adapter, SmtpSettings):
        await examine_smtp(section, adapter, seconds)
    elif isinstance(adapter, UrlSettings):
        await examine_api(section, settings, senders, seconds)


def _send_test_mail(
    section: Section, runtime: Runtime, address: str, actor: Actor | None
) -> None:
    """Send one mail by the section's transport, past the outbox, and wait.

    The audit trail has it if ``actor`` is given; without a line there, none is sent.
    """
    spec = Address.parse(address, "send_to").spec
    message = Message(
        f"{SUBJECT} ({section.name})",
        [address],
        f"This mail left by the transport {section.name!r}. If you can read it, it "
        "arrived. Authentication-Results in its source says what your mail server "
        "thinks of SPF, DKIM and DMARC.\n",
    )
    try:
        runtime.outbox.trail.note(actor, Act.TEST_MAIL, masked(spec), section.name)
        report = runtime.send_now(message, section.name)
    except OutboxError as error:
        section.find(
            "test-mail-failed", str(error), "Do what the reply says, then try again."
        )
    else:
        for recipient, one in report.recipients.items():
            section.note("Test mail", f"{recipient}: {one.outcome}, {one.reply}")


def _signed_by_all(sections: Iterable[Section]) -> Set[str]:
    """The domains that the provider of each of these transports signs for."""
    found = [set(one.signed) for one in sections]
    return set.intersection(*found) if found else set()


def _examine_domains(
    runtime: Runtime,
    names: Sequence[str],
    signed: Set[str],
    nameserver: str | None,
    longest_seconds: float | None,
) -> list[Section]:
    if not names:
        return []
    try:
        dns = Lookups(nameserver, longest_seconds or DNS_SECONDS)
    except DnspythonMissing as error:
        section = Section("domain")
        section.find(
            "dns-extra-missing",
            str(error),
            write='pip install "flask-outbox[doctor]"',
        )
        return [section]
    except ConfigError as error:
        if nameserver is not None:
            raise
        section = Section("domain")
        section.find(
            "dns-no-answer", str(error), "Name a name server in /etc/resolv.conf."
        )
        return [section]
    name = run_beside_loops(lambda: asyncio.run(own_name()))
    way = way_of(runtime.settings, name, signed)
    return [examine_domain(one, way, dns) for one in names]
