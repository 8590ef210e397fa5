"""Content as it goes over the wire: one line end, and no dot that could end it."""

from __future__ import annotations

import re

FINAL_DOT = b".\r\n"

_LINE_END = re.compile(rb"\r\n|\r|\n")


def with_crlf(content: bytes) -> bytes:
    """The content with CRLF and nothing else for line ends, the last line included.

    A bare CR or LF is what SMTP smuggling is made of (RFC 5321 section 2.3.8 forbids
    it), so none leaves, whoever composed the message. What has none is not touched.
    """
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        content = _LINE_END.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """The content with a dot before each line's first dot (RFC 5321 section 4.5.2)."""
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\n.", b"\n..")
