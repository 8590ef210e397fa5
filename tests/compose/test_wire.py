"""The strict reader refuses each broken rule, and so does our own check."""

from __future__ import annotations

import pytest

from flask_outbox.mime.encoding import wire_fault

from .wire import read_strictly

GOOD = (
    b"From: a@x.example\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
    b"Message-ID: <u@x.example>\r\nMIME-Version: 1.0\r\n\r\nHello\r\n"
)


def test_the_strict_reader_accepts_a_valid_message() -> None:
    assert read_strictly(GOOD)["from"] == "a@x.example"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello\r\n", b"Hello"),
        (b"Hello", b"Hel\nlo"),
        (b"Hello", b"Hel\rlo"),
        (b"Hello", b"Hel\0lo"),
        (b"Hello", b"x" * 999),
        (b"Hello", "hé".encode()),
        (b"a@x.example", "é@x.example".encode()),
        (b"From:", b"From :"),
        (b"From:", b" From:"),
        (b"MIME-Version", b"No colon\r\nMIME-Version"),
        (b"MIME-Version", b" \t \r\nMIME-Version"),
        (b"MIME-Version", b"Bcc: b@x\r\nMIME-Version"),
        (b"MIME-Version", b"FROM: b@x\r\nMIME-Version"),
        (b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n", b""),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_the_strict_reader_refuses_an_invalid_message(old: bytes, new: bytes) -> None:
    with pytest.raises(AssertionError):
        read_strictly(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"a\r\n" + b"x" * 998 + b"\r\n.\r\n", None),
        (b"", None),
        (b"\xe9", "octets that are not ASCII"),
        (b"a\0", "a NUL"),
        (b"a\n", "a CR or LF that stands alone"),
        (b"a\r", "a CR or LF that stands alone"),
        (b"a\n\r", "a CR or LF that stands alone"),
        (b"x" * 999, "a line of more than 998 octets"),
    ],
)
def test_wire_fault_names_what_7bit_forbids(octets: bytes, fault: str | None) -> None:
    assert wire_fault(octets) == fault
