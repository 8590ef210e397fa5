"""The relaxed canonicalisation: the RFC's own examples, and dkimpy's opinion."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.dkim import (
    covered_text,
    name_of,
    relaxed_body,
    relaxed_field,
    split_content,
)


def test_the_examples_of_rfc_6376_section_3_4_5() -> None:
    content = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
    fields, body = split_content(content)
    assert [relaxed_field(one) for one in fields] == [b"a:X", b"b:Y Z"]
    assert relaxed_body(body) == b" C\r\nD E\r\n"


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n", b" \r\n\t\r\n", b"\t"])
def test_an_empty_body_is_canonicalised(body: bytes) -> None:
    """RFC 6376 section 3.4.4 gives the hash of one."""
    digest = hashlib.sha256(relaxed_body(body)).digest()
    known = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert base64.b64encode(digest) == known


BITS = st.sampled_from([b" ", b"\t", b"  ", b"\r\n", b"\r\n\r\n", b"a", b".", b"\xc3"])


@given(st.lists(BITS | st.binary(max_size=5)))
def test_any_body_is_canonicalised_as_by_dkimpy(bits: list[bytes]) -> None:
    body = b"".join(bits).replace(b"\r\n", b"\n").replace(b"\r", b"")
    body = body.replace(b"\n", b"\r\n") + b"\r\n"
    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


NAMES = st.text("abcXYZ-0", min_size=1).map(str.encode)
VALUES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b":", b"x"])
    | st.text("abc \u00f6;=@<>").map(str.encode)
).map(b"".join)


@given(NAMES, st.sampled_from([b"", b" ", b"\t"]), VALUES)
def test_any_header_field_is_canonicalised_as_by_dkimpy(
    name: bytes, space: bytes, value: bytes
) -> None:
    ((known_name, known_value),) = Relaxed.canonicalize_headers([(name + space, value)])
    field = relaxed_field(name + space + b":" + value)
    assert field + b"\r\n" == known_name + b":" + known_value


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1), st.binary())
def test_fields_are_split_correctly_however_they_are_folded(
    fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    written = [name + b": " + value + b"." for name, value in fields]
    content = b"\r\n".join([*written, b"", body])
    assert split_content(content) == (written, body)


# ------------------------------------------------------------ RFC 8463, appendix A.3

SIGNED = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")

COVERED = b"from to subject date message-id from subject date".split()
BODY_HASH = b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="

BY_ED25519 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=""".replace(b"\n", b"\r\n")
ED25519_SIGNATURE = (
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
    "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
)
ED25519_PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

BY_RSA = b"""\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=""".replace(b"\n", b"\r\n")
RSA_SIGNATURE = (
    "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
    "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
    "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
)
RSA_PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id"
    "Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ"
    "/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)


def test_the_example_of_rfc_8463() -> None:
    """Both signatures are good over what our canonicalisation makes of the message."""
    fields, body = split_content(SIGNED)
    digest = hashlib.sha256(relaxed_body(body)).digest()
    assert base64.b64encode(digest) == BODY_HASH

    covered = covered_text(fields, COVERED)
    edwards = ed25519.Ed25519PublicKey.from_public_bytes(
        base64.b64decode(ED25519_PUBLIC)
    )
    text = covered + relaxed_field(BY_ED25519)
    edwards.verify(base64.b64decode(ED25519_SIGNATURE), hashlib.sha256(text).digest())

    rivest = load_der_public_key(base64.b64decode(RSA_PUBLIC))
    assert isinstance(rivest, rsa.RSAPublicKey)
    text = covered + relaxed_field(BY_RSA)
    signature = base64.b64decode(RSA_SIGNATURE)
    rivest.verify(signature, text, padding.PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        rivest.verify(signature, text + b" ", padding.PKCS1v15(), SHA256())


def test_the_last_of_several_fields_with_one_name_is_signed_first() -> None:
    fields = [b"X: 1", b"X: 2", b"Y: 3"]
    assert covered_text(fields, [b"x"]) == b"x:2\r\n"
    assert covered_text(fields, [b"x", b"x", b"x"]) == b"x:2\r\nx:1\r\n"
    assert name_of(b"X \t: 1") == b"x"
