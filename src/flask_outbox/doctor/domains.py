"""A From domain, as receivers see it: SPF, DKIM, DMARC, alignment and MX.

Where mail leaves from this machine, its name and address are looked at, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ..config import DkimKey, Settings, SmtpSettings, UrlSettings, is_loopback
from ..message import Address
from .accounts import with_parents
from .dkim import check_key, signing_keys
from .dmarc import DmarcPolicy, check_dmarc, organization_of
from .findings import Section
from .lookups import DnsSilent, Lookups, txt_record
from .spf import SpfRecord, check_spf, read_spf

_INCLUDES: Mapping[str, str] = {
    "amazonaws.com": "amazonses.com",
    "brevo": "spf.brevo.com",
    "gmail": "_spf.google.com",
    "gmail.com": "_spf.google.com",
    "graph": "spf.protection.outlook.com",
    "mailersend": "_spf.mailersend.net",
    "mailgun": "mailgun.org",
    "mailgun.org": "mailgun.org",
    "mailjet": "spf.mailjet.com",
    "office365.com": "spf.protection.outlook.com",
    "postmark": "spf.mtasv.net",
    "postmarkapp.com": "spf.mtasv.net",
    "resend": "amazonses.com",
    "scaleway": "_spf.tem.scaleway.com",
    "sendgrid": "sendgrid.net",
    "sendgrid.net": "sendgrid.net",
    "ses": "amazonses.com",
    "sparkpost": "sparkpostmail.com",
}
"""The scheme of an API, or the end of a server's name → what SPF has to include."""

_RETURN_PATH_IS_OURS = {"_spf.google.com", "spf.protection.outlook.com"}
"""Those that send with our return path: SPF is of no use there without them."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the mail of a domain leaves."""

    keys: tuple[DkimKey, ...]
    """Our DKIM keys."""
    bounce_domain: str | None
    """The domain of the return path, if it is not that of From."""
    includes: tuple[str, ...]
    """What SPF has to include for the providers that we know."""
    relay: str | None
    """This machine's name, if mail leaves from here; "" if it has none."""
    signed: frozenset[str] = frozenset()
    """The domains for which whoever delivers says that it signs."""


def way_of(settings: Settings, own_name: str, signed: Iterable[str] = ()) -> Way:
    """How mail leaves by these settings from a machine of this name, where all
    providers sign for the domains ``signed``.
    """
    adapters = [
        one.adapter for one in settings.transports.values() if not one.keeps_mail
    ]
    here = [
        one
        for one in adapters
        if isinstance(one, SmtpSettings) and is_loopback(one.host)
    ]
    relay = (here[0].local_hostname or own_name).lower() if here else None
    includes = {
        include
        for one in adapters
        if isinstance(one, SmtpSettings | UrlSettings)
        for end, include in _INCLUDES.items()
        if _is_at(one, end)
    }
    bounces = settings.bounce_address
    return Way(
        settings.dkim_keys,
        bounces.rpartition("@")[2].lower() if bounces else None,
        tuple(sorted(includes)),
        relay,
        frozenset(signed),
    )


def _is_at(adapter: SmtpSettings | UrlSettings, end: str) -> bool:
    if isinstance(adapter, UrlSettings):
        return adapter.scheme == end
    return adapter.host == end or adapter.host.endswith(f".{end}")


def sending_domains(settings: Settings) -> list[str]:
    """The From domains that the settings name."""
    sender = settings.default_sender
    own = []
    if sender is not None:
        address = Address.parse(sender, "MAIL_DEFAULT_SENDER")
        own.append(address.spec.rpartition("@")[2].lower())
    return list(dict.fromkeys([*own, *(one.domain for one in settings.dkim_keys)]))


def examine_domain(domain: str, way: Way, dns: Lookups) -> Section:
    """Examine one From domain; ends at the first question without an answer."""
    section = Section("domain", domain)
    try:
        if dns.exists(domain):
            _examine(section, domain, way, dns)
        else:
            section.find(
                "domain-missing",
                f"The DNS does not know {domain}.",
                "Correct the domain of the sender, or register it.",
            )
    except DnsSilent as error:
        section.find(
            "dns-no-answer",
            f"There was {error}.",
            "Ask again; then look at this machine's name servers, and at those of the "
            "domain. --nameserver 192.0.2.1 asks another.",
        )
    return section


def _examine(section: Section, domain: str, way: Way, dns: Lookups) -> None:
    addresses = _check_relay(section, dns, way.relay) if way.relay is not None else []
    return_domain = way.bounce_domain or domain
    record = read_spf(dns, return_domain)
    if record is None:
        _find_missing_spf(section, return_domain, way, addresses)
    else:
        check_spf(section, record)
        _check_servers(section, record, way, addresses)
    signers = _check_signatures(section, domain, way, dns)
    policy = check_dmarc(section, dns, domain)
    if policy is not None:
        _check_alignment(section, domain, return_domain, signers, policy, dns)
    for one in dict.fromkeys((domain, return_domain)):
        _check_exchanges(section, dns, one)


def _check_relay(section: Section, dns: Lookups, name: str) -> list[str]:
    """Examine the name that this machine has in EHLO; returns its addresses.

    Raises `DnsSilent`.
    """
    addresses = dns.addresses(name)
    if not addresses:
        section.find(
            "relay-unresolved",
            f"{name or 'This machine'} has no address in the DNS.",
            f"Give {name or 'it'} an A record with this machine's public address; or "
            "set MAIL_LOCAL_HOSTNAME to a name that has it.",
        )
    for address in addresses:
        names = dns.names_of(address)
        section.note("PTR", f"{address} is {', '.join(names) or 'nobody'}")
        if not names:
            section.find(
                "ptr-missing",
                f"{address} has no PTR record.",
                f"Have the owner of the address (your host) set its reverse DNS to "
                f"{name}.",
            )
        elif name not in names:
            section.find(
                "ptr-other-name",
                f"{address} is {', '.join(names)}, and EHLO says {name}.",
                f"Or have the reverse DNS of {address} set to {name}.",
                f"MAIL_LOCAL_HOSTNAME = {names[0]!r}",
            )
    return addresses


def _find_missing_spf(
    section: Section, domain: str, way: Way, addresses: Sequence[str]
) -> None:
    terms = " ".join(["v=spf1", *_servers(way, addresses), "~all"])
    section.find("spf-missing", f"{domain} has none.", write=txt_record(domain, terms))


def _servers(way: Way, addresses: Sequence[str]) -> list[str]:
    """The terms that allow the servers by which mail leaves."""
    ours = [f"ip{6 if ':' in one else 4}:{one}" for one in addresses]
    return [*ours, *(f"include:{one}" for one in way.includes)] or ["mx"]


def _check_servers(
    section: Section, record: SpfRecord, way: Way, addresses: Sequence[str]
) -> None:
    """Check that the record allows the servers by which mail leaves."""
    if any(id in ("spf-several", "spf-syntax") for id, _ in record.faults):
        return
    ours = [one for one in addresses if not record.allows(one)]
    needed = _RETURN_PATH_IS_OURS.intersection(way.includes) - record.names
    terms = [f"ip{6 if ':' in one else 4}:{one}" for one in ours]
    terms += [f"include:{one}" for one in sorted(needed)]
    if terms:
        first, *others = record.text.split()
        section.find(
            "spf-excludes-us",
            f"{record.domain} does not allow {', '.join([*ours, *sorted(needed)])}.",
            write=txt_record(record.domain, " ".join([first, *terms, *others])),
        )


def _check_signatures(
    section: Section, domain: str, way: Way, dns: Lookups
) -> list[str]:
    """Check the keys that sign for a domain; returns the domains that they are of."""
    by_others = [one for one in with_parents(domain) if one in way.signed]
    signers = signing_keys(way.keys, domain)
    if by_others and not signers:
        section.note("DKIM", f"the provider signs for {by_others[0]}")
        return by_others
    if not way.keys:
        section.find(
            "dkim-elsewhere",
            "MAIL_DKIM_KEYS is empty.",
            "Look for dkim=pass in Authentication-Results of a mail that you received; "
            "without it, have the server sign, or set MAIL_DKIM_KEYS.",
        )
        return []
    for key in signers:
        check_key(section, dns, key)
    if not signers:
        section.find(
            "dkim-unsigned",
            f"Mail from {domain} is not signed.",
            "Make a key, and name it.",
            f'MAIL_DKIM_KEYS = [{{"domain": "{domain}", "selector": "s1", '
            '"key_file": "dkim.pem"}]',
        )
    return [*(one.domain for one in signers), *by_others]


def _check_alignment(
    section: Section,
    domain: str,
    return_domain: str,
    signers: Sequence[str],
    policy: DmarcPolicy,
    dns: Lookups,
) -> None:
    def aligned(other: str, tag: str) -> bool:
        if other == domain:
            return True
        if policy.strict(tag):
            return False
        return organization_of(dns, other) == organization_of(dns, domain)

    by_spf = aligned(return_domain, "aspf")
    by_dkim = any(aligned(one, "adkim") for one in signers)
    ways = [name for name, is_so in (("SPF", by_spf), ("DKIM", by_dkim)) if is_so]
    section.note("Alignment", f"by {' and '.join(ways)}" if ways else "none")
    if not ways:
        signed = ", ".join(signers) or "nobody"
        section.find(
            "dmarc-unaligned",
            f"From is {domain}, the return path is at {return_domain}, the signature "
            f"is for {signed}.",
            f'MAIL_DKIM_KEYS: a key with "domain": "{domain}"; or '
            f"OUTBOX_BOUNCE_ADDRESS at {domain}.",
        )


def _check_exchanges(section: Section, dns: Lookups, domain: str) -> None:
    names = dns.exchanges(domain)
    section.note("MX", f"{domain}: {', '.join(names) or 'none'}")
    if not any(names):
        section.find(
            "mx-missing",
            f"{domain} has " + ("a null MX (RFC 7505)." if names else "no MX record."),
            "Name the server that takes its mail.",
            f"{domain}. MX 10 mail.{domain}.",
        )
    for name in filter(None, names):
        if _is_address(name):
            section.find(
                "mx-address",
                f"{domain} has MX {name}.",
                "Give the address a name, and use that.",
                f"{domain}. MX 10 mail.{domain}.",
            )
        elif not dns.addresses(name):
            section.find(
                "mx-unresolved",
                f"{name}, MX of {domain}, has no address.",
                f"Give {name} an A record, or remove it from the MX of {domain}.",
            )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
