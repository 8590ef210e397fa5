"""Opened: a message's bytes as the one who gets them sees them.

The bytes may be anybody's. Whatever is in them, something can be shown of it, and
nothing is believed: not a charset, not a header, not a part's type.
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
"""As much of the end of a file name is kept."""

_UNFIT = set('/\\:"<>|?*')
"""Characters that mean something in a path, on one system or another."""

_BODIES = ("text/plain", "text/html")


@dataclass(frozen=True, slots=True)
class Part:
    """An attachment, or what the HTML shows inside itself."""

    number: int
    """Its place in the message, from 0."""
    filename: str
    """Its file name, or one made for it; nothing in it leads out of a folder."""
    content_type: str
    content: bytes
    content_id: str | None
    """What the HTML calls it by (``cid:``), where it has such a name."""


@dataclass(frozen=True, slots=True)
class Body:
    """The text or the HTML of a message."""

    text: str
    encoding: str
    """The transfer encoding in which it travels."""
    size_bytes: int
    """How long it is in that encoding."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message taken apart."""

    headers: tuple[tuple[str, str], ...]
    """Names and decoded values, in their order."""
    text: Body | None
    html: Body | None
    parts: tuple[Part, ...]
    """All that is neither the text nor the HTML."""
    too_deep: bool = False
    """Whether its parts are nested too deeply to be taken apart: it is its one part."""

    def header(self, name: str) -> str | None:
        """The first value of a header, in whatever case its name is written."""
        wanted = name.lower()
        return next(
            (value for key, value in self.headers if key.lower() == wanted), None
        )


def open_message(content: bytes) -> Opened:
    """Take a message apart (RFC 5322, RFC 2045 to 2047); no content makes it raise."""
    try:
        return _taken_apart(content)
    except RecursionError:
        heading = BytesHeaderParser(policy=compat32).parsebytes(content)
        whole = Part(0, "message.eml", "message/rfc822", content, None)
        return Opened(_headers(heading), None, None, (whole,), too_deep=True)


def _taken_apart(content: bytes) -> Opened:
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
    return Opened(
        headers=_headers(message),
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        parts=tuple(parts),
    )


def _headers(message: StandardMessage) -> tuple[tuple[str, str], ...]:
    return tuple((name, decoded(str(value))) for name, value in message.items())


def decoded(value: str) -> str:
    """A header's value on one line, its encoded words read where they can be."""
    line = " ".join(value.split())
    try:
        return str(make_header(decode_header(line)))
    except (HeaderParseError, LookupError, ValueError):
        return line


def _leaves(part: StandardMessage) -> Iterator[StandardMessage]:
    """The parts that hold something; an attached message is one of them."""
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
    """How long a part is as it was written; 0 where its charset cannot be believed."""
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
