"""DKIM (RFC 6376): whether the DNS has the keys with which we sign."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import DkimKey
from ..dkim import PublicKey, public_key
from .findings import Section
from .lookups import Lookups, read_tags, txt_record

GOOD_RSA_BITS = 2048
"""RFC 8301 section 3.2."""


def signing_keys(keys: Sequence[DkimKey], domain: str) -> list[DkimKey]:
    """The keys that sign for a From domain: its own, or its nearest parent's."""
    while domain:
        own = [one for one in keys if one.domain == domain]
        if own:
            return own
        domain = domain.partition(".")[2]
    return []


def check_key(section: Section, dns: Lookups, key: DkimKey) -> None:
    """Compare a key with its record. Raises `DnsSilent`."""
    name = f"{key.selector}._domainkey.{key.domain}"
    ours = public_key(key)
    record = txt_record(name, ours.record)
    found = dns.texts(name)
    if len(found) > 1:
        section.find(
            "dkim-record-several",
            f"{name} has {len(found)} TXT records.",
            "Keep one, and delete the others.",
            record,
        )
    elif not found:
        section.find("dkim-record-missing", f"{name} has no TXT record.", write=record)
    else:
        _check_record(section, name, found[0], ours, record)
    if ours.bits is not None and ours.bits < GOOD_RSA_BITS:
        section.find(
            "dkim-short-key",
            f"{key.place} has {ours.bits} bits.",
            "Make another key with a selector of its own. Remove the old record a week "
            "later.",
            "openssl genrsa -out dkim.pem 2048",
        )


def _check_record(
    section: Section, name: str, text: str, ours: PublicKey, record: str
) -> None:
    try:
        tags = read_tags(text)
    except ValueError as error:
        section.find("dkim-record-syntax", f"{name}: {error}.", write=record)
        return
    theirs = "".join(tags.get("p", "").split())
    if "p" not in tags or tags.get("v", "DKIM1") != "DKIM1":
        section.find("dkim-record-syntax", f"{name} has: {text}", write=record)
    elif not theirs:
        section.find("dkim-revoked", f"{name} has an empty p=.", write=record)
    elif theirs != ours.text or tags.get("k", "rsa") != ours.kind:
        section.find(
            "dkim-other-key",
            f"{name} has the public key of another pair.",
            write=record,
        )
    else:
        section.note("DKIM", f"{name} has our key ({ours.kind})")
    if "y" in tags.get("t", "").split(":"):
        section.find("dkim-testing", f"{name} has t={tags['t']}.", write=record)
