"""DMARC (RFC 7489): the policy of a domain, and whom its reports go to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .findings import Section
from .lookups import Lookups, read_tags, txt_record

MOST_LABELS = 7
"""Of parents that are asked for a policy."""

MOST_TAKERS = 5
"""Of reports that are looked up."""

POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class DmarcPolicy:
    """A DMARC record that can be read."""

    domain: str
    """Where the record is: the domain or a parent."""
    tags: Mapping[str, str]

    def strict(self, tag: str) -> bool:
        """Whether ``adkim`` or ``aspf`` demands the very same domain."""
        return self.tags.get(tag, "r").lower() == "s"


def organization_of(dns: Lookups, domain: str) -> str:
    """The highest parent of ``domain`` that has a DMARC record; itself without one.

    Two domains are aligned if this is the same for both. There is no public suffix
    list here: a registry has no DMARC record that would hold for its customers.
    """
    found = [one for one in _parents(domain) if dmarc_records(dns, one)]
    return found[-1] if found else domain


def dmarc_records(dns: Lookups, domain: str) -> list[str]:
    """The DMARC records of a domain: there should be one."""
    return [
        text
        for text in dns.texts(f"_dmarc.{domain}")
        if text.replace(" ", "").lower().startswith("v=dmarc1")
    ]


def _parents(domain: str) -> Iterator[str]:
    """The domain and its parents, without the top-level domain; the middle of a long
    name is passed over.
    """
    labels = domain.split(".")
    if len(labels) > 1:
        yield domain
    for start in range(max(1, len(labels) - MOST_LABELS), len(labels) - 1):
        yield ".".join(labels[start:])


def check_dmarc(section: Section, dns: Lookups, domain: str) -> DmarcPolicy | None:
    """Examine the policy for a From domain; None if there is none that can be read.

    Raises `DnsSilent`.
    """
    wanted = txt_record(
        f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:dmarc-reports@{domain}"
    )
    for place in _parents(domain):
        records = dmarc_records(dns, place)
        if records:
            return _examined(section, dns, place, records, wanted)
    section.find("dmarc-missing", f"_dmarc.{domain} has no record.", write=wanted)
    return None


def _examined(
    section: Section, dns: Lookups, place: str, records: list[str], wanted: str
) -> DmarcPolicy | None:
    name = f"_dmarc.{place}"
    section.note("DMARC", f"{name}: {records[0]}")
    if len(records) > 1:
        section.find(
            "dmarc-several",
            f"{name} has {len(records)} records.",
            "Keep one, and delete the others.",
            txt_record(name, records[0]),
        )
        return None
    try:
        policy = DmarcPolicy(place, read_tags(records[0]))
    except ValueError as error:
        section.find("dmarc-syntax", f"{name}: {error}.", write=wanted)
        return None
    if policy.tags.get("p", "").lower() not in POLICIES:
        section.find(
            "dmarc-syntax", f"{name} has no valid p=: {records[0]}", write=wanted
        )
        return None
    _check_policy(section, policy, name, records[0])
    _check_reports(section, dns, policy)
    return policy


def _check_policy(
    section: Section, policy: DmarcPolicy, name: str, record: str
) -> None:
    if policy.tags["p"].lower() == "none":
        stricter = "; ".join(
            f"{tag}={'quarantine' if tag == 'p' else value}"
            for tag, value in policy.tags.items()
        )
        section.find(
            "dmarc-none",
            f"{name} has p=none.",
            "Write this once the reports show that all of your mail passes.",
            txt_record(name, stricter),
        )
    if not policy.tags.get("rua"):
        more = f"{record.rstrip('; ')}; rua=mailto:dmarc-reports@{policy.domain}"
        section.find(
            "dmarc-no-reports", f"{name} has no rua=.", write=txt_record(name, more)
        )


def _check_reports(section: Section, dns: Lookups, policy: DmarcPolicy) -> None:
    """Check that other domains take the reports that are sent to them."""
    for place in policy.tags.get("rua", "").split(",")[:MOST_TAKERS]:
        taker = place.strip().partition("!")[0].rpartition("@")[2].lower()
        if not taker or organization_of(dns, taker) == policy.domain:
            continue
        name = f"{policy.domain}._report._dmarc.{taker}"
        if not any(
            "v=dmarc1" in one.replace(" ", "").lower() for one in dns.texts(name)
        ):
            section.find(
                "dmarc-reports-not-taken",
                f"{taker} has no record at {name}.",
                "Ask its owner for this record.",
                txt_record(name, "v=DMARC1"),
            )
