"""Email addresses: parsed strictly and normalized to the form used on the wire."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ..errors import AddressError
from .text import are_encoded_words, barred, decoded, encoded_word, located, shown

LOCAL_OCTETS = 64
DOMAIN_OCTETS = 255
ADDRESS_OCTETS = 254

# Each pattern matches a text in one way only, so all run in linear time.
ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOT_ATOM = rf"{ATEXT}+(?:\.{ATEXT}+)*"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"

_SEVERAL = "holds several addresses; pass a list with one address in each string"

_is_dot_atom = re.compile(DOT_ATOM).fullmatch
_is_host = re.compile(_HOST).fullmatch
_is_usual = re.compile(f"({DOT_ATOM})@({_HOST})").fullmatch
_quoted_string = re.compile(r'"((?:[^"\\]|\\.)*)"').match
_escaped = re.compile(r"\\(.)")
_non_ascii = re.compile(r"[^\x00-\x7f]")
_bad_space = re.compile(r"[^\S ]").search
_bad_in_atom = re.compile(rf"(?!{ATEXT}|[.\u0080-\U0010ffff]).", re.DOTALL).search


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox (RFC 5321, RFC 5322): a display name, a local part, a domain.

    As returned by `parse`, ``local`` is in wire form (quoted only where required, NFC
    if it is not ASCII, otherwise unchanged) and ``domain`` is lower-case ASCII (IDNA
    2008) or an address literal such as ``[127.0.0.1]``.
    """

    display_name: str
    local: str
    domain: str

    @classmethod
    def parse(cls, value: AddressLike, field: str) -> Address:
        """Parse ``ada@example.org``, ``Ada <ada@example.org>`` or ``(name, address)``.

        The result is always valid and safe in a header and in an SMTP command.
        Surrounding spaces are dropped. In a string, the name may consist of encoded
        words, as `email.utils.formataddr` writes them. Raises `AddressError` with
        ``field`` for everything else.
        """
        try:
            return cls(*_read(value))
        except _Refusal as refusal:
            raise refusal.about(value, field) from refusal.__cause__

    @classmethod
    def parse_all(
        cls, values: Iterable[AddressLike] | None, field: str
    ) -> list[Address]:
        """Parse a list of addresses; an error names the faulty one as ``field[2]``."""
        if not values:
            return []
        addresses: list[Address] = []
        for value in values if type(values) is list else listed(values, field):
            try:
                addresses.append(cls(*_read(value)))
            except _Refusal as refusal:
                place = f"{field}[{len(addresses)}]"
                raise refusal.about(value, place) from refusal.__cause__
        return addresses

    @property
    def spec(self) -> str:
        """The bare address, ``local@domain``."""
        return f"{self.local}@{self.domain}"

    def __str__(self) -> str:
        return f"{self.display_name} <{self.spec}>" if self.display_name else self.spec


def comparable(spec: str) -> str:
    """The normal form of a bare address, as `Address.spec` gives it, for comparison.

    By RFC 5321 only the receiving server knows whether a local part is case-sensitive.
    Almost none is, so case is ignored here.
    """
    lower = spec.lower()
    return lower if lower.isascii() else unicodedata.normalize("NFC", lower)


AddressLike = str | tuple[str, str] | Address
"""The forms in which an address can be given."""


def listed(values: Iterable[AddressLike] | None, field: str) -> list[AddressLike]:
    """The addresses as a new list; raises for a single string instead of a list."""
    if not values:
        return []
    if isinstance(values, (str, bytes, Address)) or not isinstance(values, Iterable):
        raise AddressError(
            field, f"{shown(values)} is not a list; pass a list of addresses"
        )
    return list(values)


class _Refusal(Exception):
    """Why a value is not an address; completes a sentence that names the value."""

    def about(self, value: object, field: str) -> AddressError:
        return AddressError(field, f"{shown(value)} {self}")


def _read(value: AddressLike) -> tuple[str, str, str]:
    if (
        type(value) is str
        and len(value) <= LOCAL_OCTETS  # too short for any limit
        and "=?" not in value
        and (usual := _is_usual(value))
    ):
        return "", usual[1], usual[2].lower()
    if isinstance(value, str):
        return _read_mailbox(str(value))
    if isinstance(value, tuple) and len(value) == 2:
        name, address = value
        return _read_name(name), *_read_address(address)
    if isinstance(value, Address):
        return _read_name(value.display_name), *_read_address(value.spec)
    raise _Refusal(
        "is not an address; pass 'ada@example.org' or a pair ('Ada', 'ada@example.org')"
    )


def _read_mailbox(text: str) -> tuple[str, str, str]:
    if usual := _is_usual(text):
        return "", *_within_limits(usual[1], usual[2].lower())
    text = text.strip(" \t")
    _refuse_barred(text)
    name, address = _split_mailbox(text)
    return _read_name(name), *_read_address(address)


def _split_mailbox(text: str) -> tuple[str, str]:
    """Split ``Ada <ada@example.org>`` into name and address."""
    if not text.endswith(">"):
        return "", text
    if text.startswith('"'):
        name, end = _read_quoted(text)
        between, bracket, address = text[end:].partition("<")
        if between.strip(" ") or not bracket:
            raise _Refusal("has something between its name and its '<'; remove it")
    else:
        name, bracket, address = text.partition("<")
        if not bracket:
            raise _Refusal("has a '>' without a '<'; remove it")
        _refuse_ambiguous(name)
        name = _decoded_name(name)
    return name, address[:-1]


def _decoded_name(name: str) -> str:
    """A name that consists of encoded words only, decoded; any other unchanged."""
    if not are_encoded_words(name.replace(" ", "")):
        return name
    try:
        return decoded(name)
    except ValueError:
        return name


def _refuse_ambiguous(name: str) -> None:
    if "@" in name and ("," in name or ";" in name):
        raise _Refusal(_SEVERAL)
    for character in name:
        if character in '",;@>':
            raise _Refusal(
                f"has {character!r} in a name without quotes; pass a pair"
                " (name, address)"
            )


def _read_name(name: object) -> str:
    if not isinstance(name, str):
        raise _Refusal(f"has {shown(name)} for a name; pass a string")
    _refuse_barred(name)
    return str(name).strip(" ")


def _read_address(address: object) -> tuple[str, str]:
    if not isinstance(address, str):
        raise _Refusal(f"has {shown(address)} for an address; pass a string")
    if usual := _is_usual(address):
        return _within_limits(usual[1], usual[2].lower())
    address = address.strip(" \t")
    _refuse_barred(address)
    if not address:
        raise _Refusal("is empty; write an address such as 'ada@example.org'")
    address = unicodedata.normalize("NFC", address)
    if address.startswith('"'):
        local, end = _read_quoted(address)
        at, domain = address[end : end + 1], address[end + 1 :]
    else:
        _refuse_several(address)
        local, at, domain = address.partition("@")
        if at:
            _check_atom(local)
    if at != "@":
        raise _Refusal("has no '@'; write an address such as 'ada@example.org'")
    return _within_limits(_wire_local(local), _wire_domain(domain))


def _refuse_several(address: str) -> None:
    if address.count("@") > 1:
        several = "," in address or ";" in address
        raise _Refusal(_SEVERAL if several else "has more than one '@'; remove one")


def _check_atom(local: str) -> None:
    if not local:
        raise _Refusal("has nothing before its '@'; write the mailbox there")
    if bad := _bad_in_atom(local):
        raise _Refusal(
            f"has {bad[0]!r} before its '@'; remove it, or quote that part as in"
            " '\"ada king\"@example.org'"
        )
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _Refusal("has a misplaced dot before its '@'; remove it")


def _wire_local(local: str) -> str:
    """The local part as RFC 5321 writes it: quoted only where required."""
    if stray := _bad_space(local):
        raise _Refusal(f"has {located(stray[0], stray.start())}; remove that space")
    if _is_dot_atom(_non_ascii.sub("x", local)):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _wire_domain(domain: str) -> str:
    if not domain:
        raise _Refusal("has nothing after its '@'; write the domain there")
    if domain.startswith("["):
        return _wire_literal(domain)
    if " " in domain:
        raise _Refusal("has a space in its domain; remove it")
    return _ascii_domain(domain)


@lru_cache(maxsize=1024)
def _ascii_domain(domain: str) -> str:
    """The domain by IDNA 2008, after the mapping of UTS 46."""
    if len(domain) > DOMAIN_OCTETS:
        raise _Refusal(f"has a domain of more than {DOMAIN_OCTETS} octets; shorten it")
    encoded = domain
    if not domain.isascii():
        import idna  # its tables are large, and few domains need them

        try:
            encoded = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise _Refusal(f"has a domain that IDNA refuses: {error}") from error
    if not _is_host(encoded):
        raise _Refusal("has an invalid domain name; correct it")
    return encoded.lower()


def _wire_literal(domain: str) -> str:
    """An address literal (RFC 5321 section 4.1.3) in the form of `ipaddress`."""
    if not domain.endswith("]"):
        raise _Refusal("has a '[' without a ']' at its end; add it")
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:" and "%" not in inner:
            return f"[IPv6:{IPv6Address(inner[5:])}]"
        return f"[{IPv4Address(inner)}]"
    except AddressValueError as error:
        raise _Refusal(
            "has brackets around an invalid IP address; write [192.0.2.1] or"
            " [IPv6:2001:db8::1]"
        ) from error


def _within_limits(local: str, domain: str) -> tuple[str, str]:
    if "=?" in local and encoded_word.search(local):
        raise _Refusal(
            "has an encoded word in its address; only names may be written in those"
        )
    octets = len(local) if local.isascii() else len(local.encode())
    if octets > LOCAL_OCTETS:
        raise _Refusal(
            f"has {octets} octets before its '@'; at most {LOCAL_OCTETS} are allowed"
        )
    if len(domain) > DOMAIN_OCTETS:
        raise _Refusal(f"has a domain of more than {DOMAIN_OCTETS} octets; shorten it")
    if octets + 1 + len(domain) > ADDRESS_OCTETS:
        raise _Refusal(f"is longer than {ADDRESS_OCTETS} octets; shorten it")
    return local, domain


def _read_quoted(text: str) -> tuple[str, int]:
    """Read the quoted string at the start of ``text``; return its content and end."""
    quoted = _quoted_string(text)
    if not quoted:
        raise _Refusal("has a quote that never ends; close it")
    return _escaped.sub(r"\1", quoted[1]), quoted.end()


def _refuse_barred(text: str) -> None:
    if place := barred(text):
        raise _Refusal(f"has {place}; remove that character")
