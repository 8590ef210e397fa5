"""A message once more: the same words, as a new message of its own."""

from __future__ import annotations

import re

from .heading import written_date

_IDENTITY = re.compile(
    rb"^Date: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n"
    rb"Message-ID: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n",
    re.MULTILINE | re.IGNORECASE,
)
"""How `Heading` writes the two headers."""


def renewed(content: bytes, message_id: str, now: float) -> bytes:
    """``content`` with a Message-ID and a date of its own.

    With the old ones, mailboxes would take it for a copy and hide it.
    """
    heading, blank, rest = content.partition(b"\r\n\r\n")
    fresh = f"Date: {written_date(None, now)}\r\nMessage-ID: {message_id}\r\n".encode()
    fresh_heading = _IDENTITY.sub(lambda _: fresh, heading + b"\r\n", count=1)
    return fresh_heading.removesuffix(b"\r\n") + blank + rest
