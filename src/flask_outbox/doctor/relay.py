"""The name and address of this machine, where mail leaves from it."""

from __future__ import annotations

from .findings import Section
from .lookups import Lookups


def check_relay(section: Section, dns: Lookups, name: str) -> list[str]:
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
