"""Parses the bytes of a message, as its recipient sees them.

The bytes may come from anybody. Parsing never fails, and trusts no charset, no header
and no part's type.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message as StandardMessage
from email.parser import BytesHeaderParser
from email.policy import compat32

NAME_LENGTH = 100
"""How many characters of a file name are shown, from its end."""

_UNFIT = set('/\\:"<>|?*')
"""Characters with a meaning in paths on some operating system."""

_BODIES = ("text/plain", "text/html")


@dataclass(frozen=True, slots=True)
class Part:
    """An attachment or an inline image."""

    number: int
    """Its position in the message, from 0."""
    filename: str
    """Its file name, or a generated one; it cannot lead out of a folder."""
    content_type: str
    content: bytes
    content_id: str | None
    """The name by which the HTML refers to it (``cid:``), if it has one."""


@dataclass(frozen=True, slots=True)
class Body:
    """The text or the HTML of a message."""

    text: str
    encoding: str
    """The transfer encoding."""
    size_bytes: int
    """Its size in the transfer encoding."""


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message, parsed: its headers, bodies and parts."""

    headers: tuple[tuple[str, str], ...]
    """Names and decoded values, in their order."""
    text: Body | None
    html: Body | None
    parts: tuple[Part, ...]
    """All parts except the text and the HTML."""
    too_deep: bool = False
    """Whether its parts are nested too deeply to parse; it is then a single part."""

    def header(self, name: str) -> str | None:
        """The first value of a header; the name is case-insensitive."""
        wanted = name.lower()
        return next(
            (value for key, value in self.headers if key.lower() == wanted), None
        )


def parse_message(content: bytes) -> ParsedMessage:
    """Parse a message (RFC 5322, RFC 2045 to 2047); never raises, whatever the
    content.
    """
    try:
        return _parse(content)
    except RecursionError:
        headers = BytesHeaderParser(policy=compat32).parsebytes(content)
        whole = Part(0, "message.eml", "message/rfc822", content, None)
        return ParsedMessage(_headers(headers), None, None, (whole,), too_deep=True)


def _parse(content: bytes) -> ParsedMessage:
    message = message_from_bytes(content, policy=compat32)
    bodies: dict[str, Body] = {}
    parts: list[Part] = []
    for number, leaf in enumerate(_leaves(message)):
        kind = leaf.get_content_type()
        attached = leaf.get_content_disposition() == "attachment"
        if kind in _BODIES and kind not in bodies and not attached:
            bodies[kind] = _body(leaf)
        else:
            parts.append(_part(leaf, number))
    return ParsedMessage(
        headers=_headers(message),
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        parts=tuple(parts),
    )


def _headers(message: StandardMessage) -> tuple[tuple[str, str], ...]:
    return tuple((name, decoded(str(value))) for name, value in message.items())


def decoded(value: str) -> str:
    """A header's value on one line, with encoded words decoded where possible."""
    line = " ".join(value.split())
    if "=?" not in line:
        return line
    try:
        return str(make_header(decode_header(line)))
    except (HeaderParseError, LookupError, ValueError):
        return line


def _leaves(part: StandardMessage) -> Iterator[StandardMessage]:
    """The parts with content; an attached message is one of them."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for child in part.get_payload():
            assert isinstance(child, StandardMessage)
            yield from _leaves(child)
    else:
        yield part


def _body(part: StandardMessage) -> Body:
    content = _content(part)
    return Body(
        text=_text(content, part.get_content_charset()),
        encoding=str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower(),
        size_bytes=_written_size(part) or len(content),
    )


def _written_size(part: StandardMessage) -> int:
    """The size of a part as written; 0 if its charset is unknown or wrong."""
    try:
        return len(str(part.get_payload()).encode("utf-8", "surrogateescape"))
    except (LookupError, ValueError):
        return 0


def _part(part: StandardMessage, number: int) -> Part:
    content_id = str(part.get("Content-ID", "")).strip().strip("<>")
    return Part(
        number=number,
        filename=_filename(part, number),
        content_type=part.get_content_type(),
        content=_content(part),
        content_id=content_id or None,
    )


def _filename(part: StandardMessage, number: int) -> str:
    given = decoded(part.get_filename() or "")
    plain = "".join(one for one in given if one.isprintable() and one not in _UNFIT)
    ending = mimetypes.guess_extension(part.get_content_type()) or ""
    return plain.strip(". ")[-NAME_LENGTH:] or f"part-{number}{ending}"


def _content(part: StandardMessage) -> bytes:
    """A part's content without its transfer encoding."""
    if part.is_multipart():
        return b"".join(_whole(child) for child in part.get_payload())
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _whole(message: object) -> bytes:
    assert isinstance(message, StandardMessage)
    return message.as_bytes()


def _text(content: bytes, charset: str | None) -> str:
    try:
        text = content.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
