"""The relaxed canonicalisation (RFC 6376 section 3.4): what relays may not change."""

from __future__ import annotations

import re

_field_end = re.compile(rb"\r\n(?![ \t])")
_spaces = re.compile(rb"  +")


def split_content(content: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, folded as they are and without their last CRLF; the body."""
    head, _, body = content.partition(b"\r\n\r\n")
    return _field_end.split(head.removesuffix(b"\r\n")), body


def name_of(field: bytes) -> bytes:
    """A header field's name, in lower case."""
    return field.partition(b":")[0].rstrip(b" \t").lower()


def relaxed_field(field: bytes) -> bytes:
    """One header field (section 3.4.2), without the CRLF that ends it."""
    value = field.partition(b":")[2].replace(b"\r\n", b"")
    return name_of(field) + b":" + _single_spaced(value).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """The body (section 3.4.4). Its lines end with CRLF, but for the last perhaps."""
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    lines = _single_spaced(body).replace(b" \r\n", b"\r\n")
    if lines == b"\r\n" or lines.endswith(b"\r\n\r\n"):
        lines = lines.rstrip(b"\r\n")
        return lines + b"\r\n" if lines else b""
    return lines


def _single_spaced(text: bytes) -> bytes:
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    return _spaces.sub(b" ", text) if b"  " in text else text
