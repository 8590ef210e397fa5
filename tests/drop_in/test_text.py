"""The functions on text: what Flask-Mail's answer, ours answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.drop_in.peers import flask_mail, ours

ADDRESSES = [
    "ada@example.org",
    "Ada <ada@example.org>",
    ("Ada", "ada@example.org"),
    ("", "ada@example.org"),
    ("Lovelace, Ada", "ada@example.org"),
    ("Ådä", "ada@example.org"),
    "Ådä <ada@münchen.example>",
    "ünal",
    "",
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
@pytest.mark.parametrize("address", ADDRESSES, ids=repr)
def test_sanitize_address_equals_flask_mails(address: Any, encoding: str) -> None:
    assert ours.sanitize_address(address, encoding) == flask_mail.sanitize_address(
        address, encoding
    )


def test_a_non_ascii_local_part_is_kept(peer: Any) -> None:
    with pytest.raises(UnicodeEncodeError):
        peer.sanitize_address("çedric@example.org")


def test_sanitize_addresses_equals_flask_mails() -> None:
    assert ours.sanitize_addresses(ADDRESSES) == flask_mail.sanitize_addresses(
        ADDRESSES
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
@pytest.mark.parametrize("subject", ["", "Hello", "Größe", "日本語" * 20, "a\r\n b"])
def test_sanitize_subject_equals_flask_mails(subject: str, encoding: str) -> None:
    assert ours.sanitize_subject(subject, encoding) == flask_mail.sanitize_subject(
        subject, encoding
    )


@pytest.mark.parametrize("value", ["é", "é".encode(), 7, None, ValueError("é")])
def test_force_text_equals_flask_mails(value: Any) -> None:
    assert ours.force_text(value) == flask_mail.force_text(value)
    assert ours.force_text(b"\xe9", "latin-1") == "é"
    assert ours.force_text(b"\xe9", errors="ignore") == ""


def test_undecodable_bytes_are_an_error(peer: Any) -> None:
    with pytest.raises(
        peer.FlaskMailUnicodeDecodeError, match=r"You passed in b'\\xe9' \(<class"
    ) as caught:
        peer.force_text(b"\xe9")
    assert caught.value.obj == b"\xe9"
    assert isinstance(caught.value, UnicodeDecodeError)
