"""`Address.parse`: what it reads, what it refuses, and how it says so."""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import formataddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.errors import AddressError
from flask_outbox.message import Address


def read(value: Any) -> tuple[str, str]:
    address = Address.parse(value, "to")
    return address.display_name, address.spec


GOOD: list[tuple[Any, str, str]] = [
    ("ada@example.org", "", "ada@example.org"),
    ("Ada <ada@example.org>", "Ada", "ada@example.org"),
    ("<ada@example.org>", "", "ada@example.org"),
    ("Ada Q. (Sales) <ada@example.org>", "Ada Q. (Sales)", "ada@example.org"),
    ('"Lovelace, Ada" <ada@example.org>', "Lovelace, Ada", "ada@example.org"),
    (r'"A \"Ada\" \\ L" <a@x>', r'A "Ada" \ L', "a@x"),
    ('"ada@example.org" <a@x>', "ada@example.org", "a@x"),
    (("Löwe, Jürgen", "j@example.org"), "Löwe, Jürgen", "j@example.org"),
    (("  Ada  ", "a@x"), "Ada", "a@x"),
    (("", "a@x"), "", "a@x"),
    (Address("Ada", "a", "x"), "Ada", "a@x"),
    ("a.b+tag@sub.example.org", "", "a.b+tag@sub.example.org"),
    ("!#$%&'*+-/=?^_`{|}~@x", "", "!#$%&'*+-/=?^_`{|}~@x"),
    ("root@localhost", "", "root@localhost"),
    ("Ada@EXAMPLE.org", "", "Ada@example.org"),
    ('"ada king"@x', "", '"ada king"@x'),
    ('"ada"@x', "", "ada@x"),
    ('"a@b,c;<>"@x', "", '"a@b,c;<>"@x'),
    (r'"a\"b\\c"@x', "", r'"a\"b\\c"@x'),
    ("a@[127.0.0.1]", "", "a@[127.0.0.1]"),
    ("a@[IPv6:2001:DB8::0:1]", "", "a@[IPv6:2001:db8::1]"),
    ("a@bücher.example", "", "a@xn--bcher-kva.example"),
    ("a@BÜCHER.example", "", "a@xn--bcher-kva.example"),
    ("a@ｅｘａｍｐｌｅ。ｏｒｇ", "", "a@example.org"),
    ("a@straße.example", "", "a@xn--strae-oqa.example"),
    ("jörg@example.org", "", "jörg@example.org"),
    ("jo\u0308rg@example.org", "", "jörg@example.org"),
    ('"jörg x"@example.org', "", '"jörg x"@example.org'),
    ("用户@例子.example", "", "用户@xn--fsqu00a.example"),
    (" ada@example.org\t", "", "ada@example.org"),
    (" Ada <ada@example.org > ", "Ada", "ada@example.org"),
    (("Ada", " ada@example.org "), "Ada", "ada@example.org"),
    ("a@my_host.example.org", "", "a@my_host.example.org"),
    ("a@_dmarc.example.org", "", "a@_dmarc.example.org"),
    (formataddr(("Jürgen", "j@example.org")), "Jürgen", "j@example.org"),
    (formataddr(("Löwe, 日本 " * 9, "j@x")), ("Löwe, 日本 " * 9).strip(), "j@x"),
    ("=?utf-8?q?A?= =?utf-8?q?B?= <a@x>", "AB", "a@x"),
    ("=?latin-1?Q?J=FCrgen_L=2E?= <a@x>", "Jürgen L.", "a@x"),
    ("=?utf-8?b?SsO8cmdlbg?= <a@x>", "Jürgen", "a@x"),
    ("=?utf-8?q?=C3?= =?utf-8?q?=BC?= <a@x>", "ü", "a@x"),
    ("=?utf-8?q?a=40b=2C?= <a@x>", "a@b,", "a@x"),
    ("=?nonsense?q?A?= <a@x>", "=?nonsense?q?A?=", "a@x"),
    (("=?utf-8?q?A?=", "a@x"), "=?utf-8?q?A?=", "a@x"),
    ('"=?utf-8?q?A?=" <a@x>', "=?utf-8?q?A?=", "a@x"),
]
"""What is an address, with the name and the mailbox that it has."""


def test_a_valid_address_is_parsed(subtests: pytest.Subtests) -> None:
    for value, name, spec in GOOD:
        with subtests.test(value=value):
            assert read(value) == (name, spec)


BAD: list[tuple[Any, str]] = [
    ("", "is empty"),
    ("ada", "has no '@'"),
    ("@example.org", "nothing before its '@'"),
    ("ada@", "nothing after its '@'"),
    ("a@x, b@y", "pass a list"),
    ("=?utf-8?q?evil=40x=2c?=a@y", "an encoded word in its address"),
    ('"=?utf-8?q?evil=40x=2c?="@y', "an encoded word in its address"),
    ("Ada <=?utf-8?q?evil=40x=2c?=a@y>", "an encoded word in its address"),
    (("Ada", "=?utf-8?q?evil=40x=2c?=a@y"), "an encoded word in its address"),
    ("a@x;b@y", "pass a list"),
    ("a@x,", "invalid domain name"),
    ("Ada <a@x>, b@y", "pass a list"),
    ("Ada <a@x>, Bob <b@y>", "pass a list"),
    ("a@x, Bob <b@y>", "pass a list"),
    ("a@b@c", "more than one '@'"),
    ("a b@x", "' ' before its '@'"),
    ("a\u00a0b@x", "U+00A0 at position 1"),
    ('"a\u2028b"@x', "U+2028 at position 1"),
    (".a@x", "misplaced dot"),
    ("a.@x", "misplaced dot"),
    ("a..b@x", "misplaced dot"),
    ("a,b@x", "',' before its '@'"),
    ("a\u037eb@x", "';' before its '@'"),  # NFC makes it a semicolon
    ('"a@x', "never ends"),
    ('"a"b@x', "has no '@'"),
    ("Lovelace, Ada <a@x>", "pass a pair"),
    ("a@x <a@x>", "pass a pair"),
    ("Ada a@x>", "'>' without a '<'"),
    ('"Ada" or so <a@x>', "between its name and its '<'"),
    ("a@-x.example", "invalid domain name"),
    ("a@x..example", "invalid domain name"),
    ("a@example.org.", "invalid domain name"),
    (f"a@{'x' * 64}.example", "invalid domain name"),
    ("a@☃.example", "IDNA refuses"),
    ("a@xn--ü.example", "IDNA refuses"),
    ("a@[127.0.0.1", "without a ']'"),
    ("a@[localhost]", "invalid IP address"),
    ("a@[IPv6:1]", "invalid IP address"),
    ("a@[IPv6:fe80::1%eth0]", "invalid IP address"),
    (f"{'a' * 65}@x", "at most 64"),
    (f"{'ü' * 33}@x", "66 octets"),
    (f"a@{'x.' * 126}xx", "longer than 254"),
    (f"a@{'x.' * 128}x", "255 octets"),
    (f"a@{'ü.' * 128}x", "255 octets"),
    ("a@x\n", "U+000A at position 3"),
    ("Ada\r <a@x>", "U+000D at position 3"),
    (("A\tda", "a@x"), "U+0009 at position 1"),
    (("Ada", "a@x\0"), "U+0000 at position 3"),
    (("Ada", "Ada <a@x>"), "' ' before its '@'"),
    (("Ada", None), "pass a string"),
    ((None, "a@x"), "pass a string"),
    (("a", "b", "c"), "is not an address"),
    (["Ada", "a@x"], "is not an address"),
    (None, "is not an address"),
    (b"a@x", "is not an address"),
    (Address("", "a b", "x"), "' ' before its '@'"),
    (Address("A\nB", "a", "x"), "U+000A"),
]
"""What is not an address, with what the error says of it."""


def test_an_invalid_address_is_refused_with_its_field(
    subtests: pytest.Subtests,
) -> None:
    for value, advice in BAD:
        with subtests.test(value=value):
            with pytest.raises(AddressError) as caught:
                Address.parse(value, "cc[1]")
            assert caught.value.field == "cc[1]"
            assert str(caught.value).startswith("cc[1]: ")
            assert advice in str(caught.value)


def test_the_error_shows_the_value_shortened_if_it_is_long() -> None:
    with pytest.raises(AddressError, match=r"^to: 'ada at home' has no '@'"):
        Address.parse("ada at home", "to")
    with pytest.raises(AddressError) as caught:
        Address.parse("x" * 10_000, "to")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("values", ["ada@example.org", b"x", Address("", "a", "x"), 7])
def test_several_addresses_must_be_a_list(values: Any) -> None:
    with pytest.raises(AddressError, match=r"recipients: .* pass a list"):
        Address.parse_all(values, "recipients")


def test_the_error_names_the_position_of_the_faulty_address() -> None:
    with pytest.raises(AddressError, match=r"^recipients\[1\]: 'nobody'"):
        Address.parse_all(["ada@example.org", "nobody", "x"], "recipients")


def test_str_of_an_address_is_its_usual_notation() -> None:
    assert str(Address.parse("Ada <ada@example.org>", "to")) == "Ada <ada@example.org>"
    assert str(Address.parse("ada@example.org", "to")) == "ada@example.org"


@given(st.text(), st.text())
def test_an_accepted_address_is_one_safe_mailbox(name: str, spec: str) -> None:
    """Any text at all: refused with our error, or fit for header and command."""
    for value in (
        spec,
        f"{name}@{spec}",
        (name, f"{spec}@example.org"),
        f"{name}<a@x>",
    ):
        try:
            address = Address.parse(value, "to")
        except AddressError:
            continue
        for text in (address.display_name, address.spec):
            assert not [c for c in text if c < " " or "\x7f" <= c <= "\x9f"]
        assert address.domain.isascii()
        assert len(address.spec.encode()) <= 254
        assert Address.parse(address, "to") == address
        assert Address.parse((address.display_name, address.spec), "to") == address


@pytest.mark.parametrize(
    "value",
    [
        "a" * 100_000 + "@",
        "a." * 50_000 + "@x",
        '"' + '\\"' * 50_000,
        '"' + "a" * 100_000 + '"@x',
        "a@" + "x-" * 50_000,
        "a@" + "x." * 50_000,
        "a@" + "ü" * 100_000,
        "a" * 100_000 + "<a@x>",
        "<" * 100_000 + ">",
        "ü" * 100_000 + "@x",
    ],
)
def test_parsing_takes_linear_time(value: str) -> None:
    begun = time.process_time()
    with suppress(AddressError):
        Address.parse(value, "to")
    assert time.process_time() - begun < 1
