"""The DNS: questions, each asked once, with a time limit, and what TXT records say."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

from ..errors import ConfigError, OutboxError

ANSWER_SECONDS = 5.0
"""The longest wait for one answer. The first question without one ends the rest."""

LONGEST_SECONDS = 60.0
"""The longest wait for all answers together, unless another is given."""

T = TypeVar("T")


class DnsSilent(OutboxError):
    """The DNS gave no answer: neither records nor that there are none."""


class DnspythonMissing(ConfigError):
    """The package that asks the DNS is not installed."""


class Lookups:
    """Asks the DNS: this machine's servers, or the one at ``nameserver``.

    Once ``longest_seconds`` have passed, no question has an answer any more. Names are
    without a final dot, in lower case. Raises `DnspythonMissing`, and
    `ConfigError` if ``nameserver`` is no address, or none is known here.
    """

    def __init__(
        self, nameserver: str | None = None, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._until = time.monotonic() + longest_seconds
        try:
            import dns.exception
            import dns.resolver
        except ImportError as error:
            raise DnspythonMissing(
                "Asking the DNS needs the package dnspython, which is not installed: "
                'install it with pip install "flask-outbox[doctor]".'
            ) from error
        self._failures = dns.exception.DNSException
        try:
            self._resolver = dns.resolver.Resolver(configure=nameserver is None)
        except self._failures as error:
            raise ConfigError(
                f"This machine's name servers cannot be read ({error}): name one with "
                "--nameserver."
            ) from error
        if nameserver is not None:
            self._resolver.nameservers, self._resolver.port = _place(nameserver)
        self._known: dict[tuple[str, str], list[Any]] = {}
        self._absent: set[str] = set()

    def exists(self, name: str) -> bool:
        """Whether there is anything at ``name`` or below it."""
        self._ask(name, "SOA", str)
        return name not in self._absent

    def texts(self, name: str) -> list[str]:
        """The TXT records, each as one text."""
        return self._ask(
            name, "TXT", lambda one: b"".join(one.strings).decode("utf-8", "replace")
        )

    def addresses(self, name: str) -> list[str]:
        """The addresses of both families."""
        return [
            address
            for kind in ("A", "AAAA")
            for address in self._ask(name, kind, lambda one: str(one.address))
        ]

    def exchanges(self, name: str) -> list[str]:
        """The names of the mail servers, the preferred first; "" is a null MX."""
        found = self._ask(
            name, "MX", lambda one: (one.preference, _plain(one.exchange))
        )
        return [exchange for _, exchange in sorted(found)]

    def names_of(self, address: str) -> list[str]:
        """The names that an address has (PTR)."""
        pointer = ip_address(address).reverse_pointer
        return self._ask(pointer, "PTR", lambda one: _plain(one.target))

    def _ask(self, name: str, kind: str, read: Callable[[Any], T]) -> list[T]:
        if (name, kind) not in self._known:
            self._known[name, kind] = self._answers(name, kind)
        return [read(one) for one in self._known[name, kind]]

    def _answers(self, name: str, kind: str) -> list[Any]:
        import dns.name
        import dns.resolver

        left = self._until - time.monotonic()
        if left <= 0:
            raise DnsSilent(f"no time left to ask for {kind} of {name}")
        try:
            place = dns.name.from_text(f"{name}.")
        except (self._failures, UnicodeError, ValueError):  # it can be nobody's name
            self._absent.add(name)
            return []
        try:
            answer = self._resolver.resolve(
                place,
                kind,
                raise_on_no_answer=False,
                search=False,
                lifetime=min(ANSWER_SECONDS, left),
            )
        except dns.resolver.NXDOMAIN:
            self._absent.add(name)
            return []
        except self._failures as error:
            reason = " ".join(str(error).split())
            raise DnsSilent(f"no answer about {kind} of {name} ({reason})") from error
        return list(answer.rrset or ())


def _plain(name: Any) -> str:
    return str(name).rstrip(".").lower()


def _place(text: str) -> tuple[list[str], int]:
    """An address and a port: ``192.0.2.1``, ``192.0.2.1:5353`` or ``[2001:db8::1]``."""
    host, port = text, "53"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, port = text.split(":")
    try:
        return [str(ip_address(host))], int(port)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a name server: write its address, as in 192.0.2.1 or "
            "192.0.2.1:5353."
        ) from None


def read_tags(text: str) -> dict[str, str]:
    """The tags of a record of ``tag=value`` pairs, as DKIM and DMARC have them.

    Their names are in lower case. Raises `ValueError` for what is no such record.
    """
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not name.isidentifier() or name in tags:
            raise ValueError(f"{part.strip()!r} is not valid there")
        tags[name] = value.strip()
    return tags


def txt_record(name: str, text: str) -> str:
    """A TXT record for a zone file, in strings of the length that DNS allows."""
    pieces = [text[start : start + 255] for start in range(0, len(text), 255)]
    return f"{name}. TXT " + " ".join(f'"{_escaped(one)}"' for one in pieces)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"")
