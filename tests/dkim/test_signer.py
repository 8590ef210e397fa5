"""Signing: who signs what, that a verifier agrees, and what it notices."""

from __future__ import annotations

import base64
import re
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox import Attachment, Message, SigningError
from flask_outbox.config.dkim import as_dkim_keys
from flask_outbox.dkim import COVERED, SEALED, Signer
from flask_outbox.mime import compose
from flask_outbox.transports.smtp.capabilities import with_crlf

from .keyring import ED25519, RSA, entry, pem, rsa_key, signatures, verified


def signer(*entries: dict[str, Any]) -> Signer:
    return Signer(as_dkim_keys("MAIL_DKIM_KEYS", list(entries)))


BOTH = signer(RSA, ED25519)


def composed(sender: Any = "Ada <ada@example.com>", **message: Any) -> bytes:
    given: dict[str, Any] = {
        "subject": "Gr\u00fc\u00dfe",
        "recipients": ["bob@example.org"],
        "body": "Hello  Bob,\n\n.dot \t\n\nAda\n\n\n",
        "html": "<p>Hello</p>",
        "extra_headers": {
            "List-Unsubscribe": "<https://example.com/u?t=1>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    }
    return compose(Message(sender=sender, **{**given, **message})).content


def tags(signature: bytes) -> dict[str, str]:
    pairs = signature.partition(b":")[2].decode().split(";")
    split = (pair.partition("=") for pair in pairs)
    return {name.strip(): re.sub(r"\s", "", value) for name, _, value in split}


# ----------------------------------------------------------------- what a verifier says


@pytest.mark.parametrize(
    ("entries", "algorithms"),
    [
        ([RSA], ["rsa-sha256"]),
        ([ED25519], ["ed25519-sha256"]),
        ([RSA, ED25519], ["rsa-sha256", "ed25519-sha256"]),
    ],
    ids=["rsa", "ed25519", "both"],
)
def test_a_signed_message_verifies(entries: list[Any], algorithms: list[str]) -> None:
    content = composed()
    signed = signer(*entries).sign(content)
    assert [tags(one)["a"] for one in signatures(signed.content)] == algorithms
    assert verified(signed.content) == [True] * len(entries)
    assert signed.content.endswith(b"\r\n" + content)


SHAPES: dict[str, dict[str, Any]] = {
    "no body": {"body": "", "html": None},
    "long lines": {"body": "x" * 5_000 + "\n" + "y " * 3_000},
    "bare ends": {"body": "a\rb\nc\r\nd\n.\n..\n"},
    "attachment": {
        "attachments": [Attachment("a.bin", "application/octet-stream", bytes(999))]
    },
    "everyone": {
        "recipients": [f"someone-{number}@example.org" for number in range(60)],
        "cc": ["c@example.org"],
        "reply_to": "r@example.com",
    },
    "utf8": {"recipients": ["j\u00f6@example.org"]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_messages_of_every_shape_verify(shape: str) -> None:
    signed = BOTH.sign(composed(**SHAPES[shape])).content
    assert verified(signed) == [True, True]
    assert with_crlf(signed) == signed, "what leaves is not what was signed"
    assert max(map(len, signed.split(b"\r\n"))) <= 998


@given(st.text(), st.text())
def test_a_signature_of_any_text_verifies(subject: str, body: str) -> None:
    subject = "".join(one for one in subject if one.isprintable())
    body = body.replace("\0", "")
    signed = signer(ED25519).sign(composed(subject=subject, body=body)).content
    assert verified(signed) == [True]
    assert with_crlf(signed) == signed


def test_a_standard_library_message_is_signed() -> None:
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@EXAMPLE.com>", "bob@example.org"
    message["Subject"], message["References"] = "Hello", "<1@example.org>"
    message.set_content("Hello\n")
    signed = BOTH.sign(compose(message).content).content
    assert verified(signed) == [True, True]
    assert "references" in tags(signatures(signed)[0])["h"].split(":")


# ---------------------------------------------------------------------- what is covered


def test_important_headers_are_signed_and_cannot_be_added() -> None:
    (signature,) = signatures(signer(RSA).sign(composed(cc=["c@example.org"])).content)
    names = tags(signature)["h"].split(":")
    for name in ("from", "to", "cc", "subject", "date", "message-id", "content-type"):
        assert names.count(name) == 2
    assert names.count("reply-to") == 1, "there is none, and none can be added"
    assert names.count("list-unsubscribe") == 1
    assert names.count("list-unsubscribe-post") == 1


FORGED = {
    b"from": b"From: mallory@example.net",
    b"content-type": b"Content-Type: text/html",
}


@pytest.mark.parametrize("name", [one.decode() for one in SEALED])
@pytest.mark.parametrize("place", ["above", "below"])
def test_an_added_field_breaks_the_signature(name: str, place: str) -> None:
    signed = signer(ED25519).sign(composed()).content
    forged = FORGED.get(name.encode(), f"{name}: forged".encode()) + b"\r\n"
    if place == "above":
        tampered = forged + signed
    else:
        tampered = signed.replace(b"\r\n\r\n", b"\r\n" + forged + b"\r\n", 1)
    assert verified(signed) == [True]
    assert verified(tampered) == [False]


def covered_fields() -> list[str]:
    head = composed(reply_to="r@example.com").partition(b"\r\n\r\n")[0].decode()
    names = re.findall(r"^([A-Za-z-]+):", head, re.MULTILINE)
    return [one for one in names if one.lower().encode() in (*SEALED, *COVERED)]


@pytest.mark.parametrize("name", covered_fields())
def test_a_changed_or_removed_field_breaks_the_signature(name: str) -> None:
    signed = signer(ED25519).sign(composed(reply_to="r@example.com")).content
    field = re.compile(rb"^" + name.encode() + rb": .*\r\n(?:[ \t].*\r\n)*", re.M)
    assert field.search(signed)
    assert verified(field.sub(name.encode() + b": other\r\n", signed)) == [False]
    assert verified(field.sub(b"", signed)) == [False]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Hello", b"Hallo"), (b"</p>", b"</p>\r\nmore"), (b"Bob,\r\n", b"Bob,\r\n\r\n")],
)
def test_a_changed_body_breaks_the_signature(old: bytes, new: bytes) -> None:
    signed = BOTH.sign(composed()).content
    assert old in signed
    assert verified(signed.replace(old, new)) == [False, False]


def test_changes_that_relays_make_keep_the_signature_valid() -> None:
    """Fold anew, change case and spaces, add a trace: relaxed on both sides."""
    signed = BOTH.sign(composed()).content
    relayed = signed.replace(b"\r\nSubject: ", b"\r\nSUBJECT:\t ")
    relayed = relayed.replace(b"Hello  Bob,", b"Hello Bob,  ") + b"\r\n\r\n"
    relayed = b"Received: from a by b; today\r\nX-Spam: no\r\n" + relayed
    assert verified(relayed) == [True, True]


# ---------------------------------------------------------------------------- who signs


MORE = rsa_key(1024)


@pytest.mark.parametrize(
    ("sender", "words"),
    [
        ("ada@example.com", "signed (DKIM) for example.com by rsa, ed"),
        ("Ada <ada@Example.COM>", "signed (DKIM) for example.com by rsa, ed"),
        (("x@y.org", "ada@example.com"), "signed (DKIM) for example.com by rsa, ed"),
        ("ada@shop.example.com", "signed (DKIM) for example.com by rsa, ed"),
        ("ada@mail.example.com", "signed (DKIM) for mail.example.com by s1"),
        ("ada@a.mail.example.com", "signed (DKIM) for mail.example.com by s1"),
        ("ada@b\u00fccher.example", "signed (DKIM) for xn--bcher-kva.example by s1"),
    ],
)
def test_the_key_of_the_nearest_domain_signs(sender: Any, words: str) -> None:
    own = entry("mail.example.com", "s1", MORE)
    books = entry("B\u00fccher.example", "s1", MORE)
    signed = signer(RSA, own, books, ED25519).sign(composed(sender))
    assert signed.words == words


@pytest.mark.parametrize(
    "sender", ["ada@example.org", "ada@myexample.com", "ada@com", "ada@[127.0.0.1]"]
)
def test_without_a_key_for_the_domain_nothing_is_signed(sender: str) -> None:
    content = composed(sender)
    signed = BOTH.sign(content)
    assert signed.content == content
    assert signed.words.startswith("not signed (DKIM): MAIL_DKIM_KEYS has no key for ")
    assert signed.words.endswith(sender.partition("@")[2])


def test_signing_again_gives_the_same_bytes() -> None:
    """So a retry is what the first attempt was, byte for byte."""
    content = composed()
    assert BOTH.sign(content).content == BOTH.sign(content).content


def test_bytes_that_are_no_message_are_a_signing_error() -> None:
    with pytest.raises(SigningError, match="MAIL_DKIM_KEYS"):
        BOTH.sign(b"no header at all")


def test_a_signature_is_written_in_short_lines() -> None:
    (signature,) = signatures(signer(RSA).sign(composed()).content)
    written = signer(RSA).sign(composed()).content.partition(b"\r\nFrom:")[0]
    assert max(map(len, written.split(b"\r\n"))) <= 78
    assert tags(signature)["d"] == "example.com"
    assert len(base64.b64decode(tags(signature)["b"])) == 256
    assert "l" not in tags(signature), "a length lets anyone add to the body"
    assert pem(rsa_key()) not in repr(as_dkim_keys("MAIL_DKIM_KEYS", [RSA]))
