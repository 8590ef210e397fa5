"""Reading: what is in a mail's bytes, as a person wants to see it.

The bytes may be anybody's. Whatever is in them, something can be shown of it, and
nothing is believed: not a charset, not a header, not a part's type.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""Types of parts that a mail's HTML may show by ``cid:``; none of them can run."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is not shown: an attachment, or another form of the text."""

    number: int
    """Its place in the mail, from 0."""
    name: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in a mail."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    parts: tuple[Part, ...]


def read(content: bytes) -> Reading:
    """Everything in ``content`` but the attachments' bytes."""
    mail = message_from_bytes(content)
    leaves = _leaves(mail)
    text, html = _body(leaves, "text/plain"), _body(leaves, "text/html")
    return Reading(
        headers=tuple((name, _header(value)) for name, value in mail.items()),
        text=None if text is None else _text(leaves[text]),
        html=None if html is None else _text(leaves[html]),
        parts=tuple(
            Part(
                number, _name(leaf, number), leaf.get_content_type(), len(_bytes(leaf))
            )
            for number, leaf in enumerate(leaves)
            if number not in (text, html)
        ),
    )


def _part(number: int, leaf: Message) -> Part:
    size_bytes = len(_bytes(leaf))
    return Part(number, _name(leaf, number), leaf.get_content_type(), size_bytes)


def part(content: bytes, number: int) -> tuple[str, bytes] | None:
    """The name and the bytes of a part; None where there is no such part."""
    leaves = _leaves(message_from_bytes(content))
    if not 0 <= number < len(leaves):
        return None
    return _name(leaves[number], number), _bytes(leaves[number])


def inert_html(content: bytes) -> str | None:
    """The mail's HTML with its own pictures in it, and none of the elements that act
    by being there; None where it has no HTML.

    The sandbox and the policy under which it is shown do the rest: `headers.MAIL`.
    """
    leaves = _leaves(message_from_bytes(content))
    found = _body(leaves, "text/html")
    if found is None:
        return None
    html = _ACTING.sub("<no-", _text(leaves[found]))
    for leaf in leaves:
        cid = str(leaf.get("Content-ID", "")).strip().strip("<>")
        if cid and leaf.get_content_type() in PICTURES:
            picture = base64.b64encode(_bytes(leaf)).decode()
            html = html.replace(
                f"cid:{cid}", f"data:{leaf.get_content_type()};base64,{picture}"
            )
    return html


_ACTING = re.compile(r"<(?=(?:link|meta|base)[\s/>])", re.IGNORECASE)
"""The starts of elements that can open connections without fetching anything, which no
policy forbids. Nothing else begins such an element in HTML: not a space after the
``<``, not an entity, not another spelling."""

_UNFIT = set('/\\:"<>|?*')
"""Characters that mean something in a path, on one system or another."""


def _leaves(mail: Message) -> list[Message]:
    return [one for one in mail.walk() if not one.is_multipart()]


def _body(leaves: list[Message], content_type: str) -> int | None:
    """The number of the first part of this type that is not attached."""
    for number, leaf in enumerate(leaves):
        attached = leaf.get_content_disposition() == "attachment"
        if leaf.get_content_type() == content_type and not attached:
            return number
    return None


def _bytes(leaf: Message) -> bytes:
    payload = leaf.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(leaf: Message) -> str:
    charset = leaf.get_content_charset("utf-8")
    try:
        return _bytes(leaf).decode(charset, "replace")
    except (LookupError, ValueError):
        return _bytes(leaf).decode("utf-8", "replace")


def _header(value: object) -> str:
    """A header's value on one line, its encoded words decoded where they can be."""
    text = " ".join(str(value).split())
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return text


def _name(leaf: Message, number: int) -> str:
    """A part's file name, without anything that could lead out of a folder."""
    given = _header(leaf.get_filename() or "")
    plain = "".join(
        one for one in given if one.isprintable() and one not in '/\\:"<>|?*'
    )
    return plain.strip(". ")[-100:] or f"part-{number}"
