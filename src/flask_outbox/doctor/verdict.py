"""The rules of Gmail, Yahoo and Microsoft for bulk senders, as one verdict.

They are those of https://support.google.com/a/answer/81126,
https://senders.yahooinc.com/best-practices and Microsoft's for outlook.com, as far as
they can be seen from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from .findings import Rule, Section, Verdict

GMAIL, YAHOO, MICROSOFT = "Gmail", "Yahoo", "Microsoft"
ALL = (GMAIL, YAHOO, MICROSOFT)


_DNS = {"dns-no-answer"}
_SPF = {
    "domain-missing", "spf-missing", "spf-several", "spf-syntax", "spf-excludes-us",
    "spf-too-many-lookups", "spf-include-missing", "spf-loop", "spf-allows-all",
}  # fmt: skip
_DKIM = {
    "domain-missing", "dkim-unsigned", "dkim-record-missing", "dkim-record-several",
    "dkim-record-syntax", "dkim-revoked", "dkim-other-key",
}  # fmt: skip
_DMARC = {"domain-missing", "dmarc-missing", "dmarc-several", "dmarc-syntax"}
_TLS = {
    "smtp-not-encrypted", "password-not-encrypted", "starttls-missing",
    "starttls-failed",
}  # fmt: skip
_LINKS = {
    "links-not-https", "server-name-missing", "server-name-local", "secret-key-missing",
}  # fmt: skip

_RULES: tuple[tuple[str, tuple[str, ...], Set[str], Set[str]], ...] = (
    ("SPF", ALL, _SPF, _DNS),
    ("DKIM", ALL, _DKIM, {*_DNS, "dkim-elsewhere"}),
    ("DMARC", ALL, _DMARC, _DNS),
    ("alignment with From", ALL, {"dmarc-unaligned"}, _DNS | _DMARC),
    (
        "names of addresses (PTR)",
        (GMAIL, YAHOO),
        {"ptr-missing", "ptr-other-name", "relay-unresolved"},
        _DNS,
    ),
    ("TLS", (GMAIL,), _TLS, set()),
    ("one-click unsubscribe", ALL, _LINKS, set()),
)
"""Each rule: its words, who asks for it, what breaks it, what hides it."""


def verdict_of(domain: Section, others: Iterable[Section]) -> Verdict:
    """The verdict on a domain, by what was found there and in the other sections."""
    found = {
        finding.id for section in (domain, *others) for finding in section.findings
    }
    return Verdict(domain.name, tuple(_rule(found, *one) for one in _RULES))


def _rule(
    found: Set[str],
    words: str,
    asked_by: tuple[str, ...],
    breaking: Set[str],
    hiding: Set[str],
) -> Rule:
    broken, hidden = found & breaking, found & hiding
    kept = False if broken else None if hidden else True
    return Rule(words, asked_by, kept, tuple(sorted(broken or hidden)))
