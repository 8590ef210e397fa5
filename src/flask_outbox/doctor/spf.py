"""SPF (RFC 7208): reads a domain's record with all that it includes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from .findings import Section
from .lookups import Lookups, txt_record

MOST_LOOKUPS, MOST_VOIDS = 10, 2
"""RFC 7208 section 4.6.4."""

STOP_AFTER = 40
"""After so many look-ups no further ones are made."""

VERSION = "v=spf1"

Address = IPv4Address | IPv6Address

_QUALIFIERS = "+-~?"
_ASKING = ("include", "a", "mx", "ptr", "exists")
_SILENT = ("ip4", "ip6", "all")


@dataclass(slots=True)
class SpfRecord:
    """A domain's SPF record, read to its end."""

    domain: str
    text: str = ""
    lookups: int = 0
    """How many look-ups its terms need, all of them together."""
    voids: int = 0
    """How many of these find nothing."""
    costs: dict[str, int] = field(default_factory=dict)
    """The look-ups of each of its own terms."""
    names: set[str] = field(default_factory=set)
    """The domains whose records it includes."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """The id and a sentence for each thing that is wrong."""
    networks: list[str] = field(default_factory=list)
    """The addresses and networks that pass."""
    end: str = ""
    """The term that decides about all other servers, "" if there is none."""

    def allows(self, address: str) -> bool:
        """Whether a server with this address passes."""
        given = ip_address(address)
        nets = (ip_network(one, strict=False) for one in self.networks)
        return any(given in one for one in nets if one.version == given.version)


def spf_records(dns: Lookups, domain: str) -> list[str]:
    """The SPF records of a domain: there should be one."""
    return [
        text
        for text in dns.texts(domain)
        if text.lower() == VERSION or text.lower().startswith(f"{VERSION} ")
    ]


def read_spf(dns: Lookups, domain: str) -> SpfRecord | None:
    """The SPF record of a domain, with all that it includes; None without one.

    Raises `DnsSilent`.
    """
    records = spf_records(dns, domain)
    if not records:
        return None
    read = SpfRecord(domain, records[0])
    if len(records) > 1:
        read.faults.append(("spf-several", f"{domain} has {len(records)} of them."))
        return read
    _Walk(dns, read).follow(domain, records[0], (domain,), passes=True)
    return read


class _Walk:
    """Follows a record and what it includes."""

    def __init__(self, dns: Lookups, record: SpfRecord) -> None:
        self._dns = dns
        self._record = record

    def follow(
        self, domain: str, text: str, path: tuple[str, ...], *, passes: bool
    ) -> None:
        """Read one record; its networks count only if it ``passes``."""
        redirect = ""
        closed = False
        for term in text.split()[1:]:
            before = self._record.lookups
            name, equals, value = term.partition("=")
            if equals and ":" not in name and "/" not in name:
                redirect = value if name.lower() == "redirect" else redirect
                continue
            self._mechanism(term, domain, path, passes)
            closed = closed or term.lower().lstrip(_QUALIFIERS) == "all"
            if len(path) == 1 and self._record.lookups > before:
                self._record.costs[term] = self._record.lookups - before
        if redirect and not closed:
            self._ask()
            self._include(redirect.lower(), path, passes, is_end=len(path) == 1)

    def _mechanism(
        self, term: str, domain: str, path: tuple[str, ...], passes: bool
    ) -> None:
        qualifier = term[0] if term[0] in _QUALIFIERS else "+"
        body = term.lstrip(_QUALIFIERS)
        kind = body.partition(":")[0].partition("/")[0].lower()
        value = body.partition(":")[2]
        passes = passes and qualifier == "+"
        if kind not in (*_ASKING, *_SILENT):
            self._fault("spf-syntax", f"{domain} has {term!r}.")
        elif kind in _ASKING:
            self._ask()
            self._asked(kind, value.lower(), domain, path, passes)
        elif kind == "all":
            if len(path) == 1:
                self._record.end = f"{qualifier}all"
        else:
            self._network(term, value, domain, passes)

    def _asked(
        self, kind: str, value: str, domain: str, path: tuple[str, ...], passes: bool
    ) -> None:
        if self._record.lookups > STOP_AFTER or "%" in value:
            return
        name, _, rest = value.partition("/")
        name = name or domain
        if kind == "include":
            self._include(value, path, passes, is_end=False)
        elif kind == "ptr":
            self._fault("spf-ptr", f"{domain} has it.")
        elif kind == "a":
            self._hosts([name], rest, passes)
        elif kind == "mx":
            self._hosts(self._dns.exchanges(name), rest, passes)
        elif not self._dns.addresses(name):
            self._record.voids += 1

    def _hosts(self, names: Sequence[str], rest: str, passes: bool) -> None:
        found = [one for name in names if name for one in self._dns.addresses(name)]
        if not found:
            self._record.voids += 1
        four, _, six = rest.partition("//")
        for one in found:
            size = six if ":" in one else four
            self._network(rest, f"{one}/{size}" if size else one, names[0], passes)

    def _network(self, term: str, value: str, domain: str, passes: bool) -> None:
        try:
            ip_network(value, strict=False)
        except ValueError:
            self._fault("spf-syntax", f"{domain} has {term!r}.")
        else:
            self._record.networks += [value] if passes else []

    def _include(
        self, name: str, path: tuple[str, ...], passes: bool, *, is_end: bool
    ) -> None:
        if self._record.lookups > STOP_AFTER or "%" in name:
            return
        if name in path:
            self._fault("spf-loop", f"The way is {' → '.join([*path, name])}.")
            return
        self._record.names.add(name)
        records = spf_records(self._dns, name)
        if len(records) != 1:
            number = "none" if not records else f"{len(records)} of them"
            self._fault("spf-include-missing", f"{path[-1]} includes {name}: {number}.")
            return
        self.follow(name, records[0], (*path, name), passes=passes)
        if is_end:
            ends = [one for one in records[0].split() if one.lower().endswith("all")]
            self._record.end = ends[-1] if ends else ""

    def _ask(self) -> None:
        self._record.lookups += 1

    def _fault(self, id: str, saw: str) -> None:
        if (id, saw) not in self._record.faults:
            self._record.faults.append((id, saw))


_TODO = {
    "spf-several": "Join them into one record, and delete the others.",
    "spf-syntax": "Correct or remove the term.",
    "spf-include-missing": "Correct or remove the include.",
    "spf-loop": "Remove the include that leads back.",
    "spf-ptr": "Name the servers by ip4:, ip6: or a: instead.",
}


def check_spf(section: Section, record: SpfRecord) -> None:
    """Note what a record says, and find what is wrong with it."""
    section.note("SPF", f"{record.text} ({record.lookups} look-ups)")
    for id, saw in record.faults:
        section.find(id, saw, _TODO[id])
    if record.lookups > MOST_LOOKUPS:
        costs = ", ".join(f"{term} {cost}" for term, cost in record.costs.items())
        section.find(
            "spf-too-many-lookups",
            f"The record of {record.domain} needs {record.lookups}: {costs}.",
            "Remove includes of services that you no longer use, and put ip4: or ip6: "
            "in place of a and mx, until there are at most 10.",
        )
    if record.voids > MOST_VOIDS:
        section.find(
            "spf-void-lookups",
            f"{record.voids} look-ups of {record.domain} find nothing.",
            "Remove the names that no longer exist.",
        )
    _check_end(section, record)


def _check_end(section: Section, record: SpfRecord) -> None:
    if any(id == "spf-several" for id, _ in record.faults):
        return
    if record.end in ("+all", "all"):
        section.find(
            "spf-allows-all",
            f"{record.domain} has: {record.text}",
            write=txt_record(record.domain, _closed(record.text)),
        )
    elif record.end not in ("~all", "-all"):
        section.find(
            "spf-open-end",
            f"{record.domain} has: {record.text}",
            write=txt_record(record.domain, _closed(record.text)),
        )


def _closed(text: str) -> str:
    kept = [one for one in text.split() if one.lower().lstrip(_QUALIFIERS) != "all"]
    return " ".join([*kept, "~all"])
