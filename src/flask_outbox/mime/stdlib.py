"""Messages of the standard library's `email` package, with the same guarantees as ours.

Their headers are parsed, and written by the code that writes all other headers. The
email package decodes encoded words before their position can be seen, and decoded text
may look like syntax; addresses are therefore read from the source.

Their parts are written by the standard library and checked for the wire. Parts may be
signed, so boundaries, header lines and legal transfer encodings are preserved byte for
byte. A message that writes itself is sent unchanged or refused.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC
from email.errors import NonASCIILocalPartDefect
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message as StandardMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP, Compat32, EmailPolicy, Policy, compat32
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

from ..errors import AddressError, HeaderError, MessageError
from ..message import Address, AddressLike
from ..message.mailboxes import read_mailboxes
from ..message.text import are_encoded_words, barred, decoded, encoded_word, shown
from .encoding import base64_lines, wire_fault, with_crlf
from .header_syntax import LINE, free_text, has_own_syntax, header_name
from .headers import Headers, format_date, holds_addresses, sender_or_default
from .parts import Part, boundary_token

DEEPEST = 100
"""How deep parts may be nested. Postfix reads no deeper (its mime_nesting_limit)."""

_fold = re.compile(r"\r?\n(?=[ \t])")

_HARMLESS = {
    "period in 'phrase'",
    "comment found without atom",
    "empty element in mailbox-list",
    "empty element in address-list",
    "address-list entry with no content",
    "group-list with empty entries",
}
"""Obsolete syntax that the email package reads as everyone does."""


def unfolded(value: Any) -> str:
    """The value of a header, on one line."""
    return _fold.sub("", str(value))


def parsed(name: str, value: Any) -> Any:
    """The email package's header object, parsed from the source if necessary.

    Raises `HeaderError` for a value that makes its parser fail.
    """
    if hasattr(value, "defects"):
        return value
    text = unfolded(value)
    try:
        return SMTP.header_factory(name, text)
    except (AttributeError, IndexError, ValueError) as error:
        raise HeaderError(name, f"{shown(text)} cannot be read; correct it") from error


def source(name: str, value: Any) -> str:
    """The value of a header on one line, with encoded words not decoded.

    Raises `HeaderError` if the value was parsed in an ambiguous way.
    """
    if isinstance(value, Header):
        return _of_legacy_header(name, value)
    if not hasattr(value, "defects"):
        return unfolded(value)
    for defect in value.defects:
        harmless = isinstance(defect, NonASCIILocalPartDefect)
        if not harmless and str(defect) not in _HARMLESS:
            error = AddressError if hasattr(value, "addresses") else HeaderError
            raise error(name, f"{shown(unfolded(value))} is broken: {defect}")
    tree = getattr(value, "_parse_tree", None)
    return unfolded(value) if tree is None else _of_node(tree)


def _of_legacy_header(name: str, header: Header) -> str:
    """The source of a `Header`: decoded if it is encoded as a whole."""
    written = unfolded(header.encode(maxlinelen=0))
    if not are_encoded_words(written.replace(" ", "")):
        return written
    text = decoded(written)
    if "," in text or ";" in text or ":" in text:
        raise AddressError(
            name,
            f"{shown(text)} is encoded as a whole; encode only the names in it",
        )
    return text


def _of_node(node: Any) -> str:
    """The source of one node of the email package's parse tree."""
    if _is_encoded_word(node):
        # The node's source also includes all text after the encoded word.
        found = encoded_word.match(node.cte)
        return found[0] if found else str(node)
    if isinstance(node, str):
        return str.__str__(node)
    if _holds_encoded_words(node):
        return "".join([_of_node(part) for part in node])
    return str(node)


def _is_encoded_word(node: Any) -> bool:
    return hasattr(node, "cte")


def _holds_encoded_words(node: Any) -> bool:
    return _is_encoded_word(node) or (
        not isinstance(node, str) and any(_holds_encoded_words(one) for one in node)
    )


def own_bytes(content: object, otherwise: str) -> tuple[bytes, str]:
    """The bytes to send, and their Message-ID or, without one, ``otherwise``.

    Lines end with CRLF, as on the wire. Raises `MessageError` if the message cannot be
    sent unchanged.
    """
    if not isinstance(content, bytes):
        kind = type(content).__name__
        raise MessageError("message", f"as_bytes() returned {kind}, not bytes")
    octets = content if _is_crlf(content) else with_crlf(content)
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    if fault := wire_fault(octets):
        raise MessageError(
            "message",
            f"as_bytes() returned {fault}, and its bytes are sent unchanged; have it "
            "write 7bit, quoted-printable or base64",
        )
    headers = BytesHeaderParser(policy=compat32).parsebytes(octets)
    for name in ("Bcc", "Resent-Bcc"):
        if name in headers:
            raise MessageError("message", f"as_bytes() wrote a {name}; leave it out")
    if "From" not in headers or "Date" not in headers:
        raise MessageError("message", "as_bytes() wrote no From or Date; write both")
    return octets, str(headers.get("Message-ID", otherwise)).strip()


def _is_crlf(octets: bytes) -> bool:
    return octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")


def parts_written(message: StandardMessage, unique: str) -> bytes:
    """Content headers and parts as the standard library writes them, then checked.

    Raises `MessageError` for content that must not be sent, and for signed content that
    cannot be preserved.
    """
    bare = copy.deepcopy(message)
    for name in {name for name in bare if not name.lower().startswith("content-")}:
        del bare[name]
    for part, signed in _leaves(bare):
        _carry_message(part, signed)
    _set_boundaries(bare, unique)
    _check_signed(bare)
    written = _written(bare)
    if fault := wire_fault(written):
        raise MessageError(
            "message",
            f"its parts have {fault}; build them with EmailMessage.set_content() and"
            " add_attachment()",
        )
    _check_boundaries(bare, written)
    return written


def _leaves(
    message: StandardMessage, signed: bool = False
) -> Iterator[tuple[StandardMessage, bool]]:
    """The parts without subparts, each with whether it is signed."""
    payload: Any = message.get_payload()
    if isinstance(payload, list):
        signed = signed or message.get_content_type() == "multipart/signed"
        for part in payload:
            yield from _leaves(part, signed)
    else:
        yield message, signed


def _carry_message(part: StandardMessage, signed: bool) -> None:
    """Make an attached message given as text unencoded, with CRLF line ends.

    It must not be encoded (RFC 2046 section 5.2.1). If that is impossible, it is sent
    unchanged as a file of unknown type, as with an `Attachment`.
    """
    payload: Any = part.get_payload()
    if part.get_content_maintype() != "message" or not isinstance(payload, str):
        return
    if signed:
        part.set_payload(with_crlf(payload.encode("ascii", "surrogateescape")).decode())
        return
    octets: Any = part.get_payload(decode=True)
    lines = with_crlf(octets)
    del part["Content-Transfer-Encoding"]
    if wire_fault(lines) is None:
        part["Content-Transfer-Encoding"] = "7bit"
        part.set_payload(lines.decode("ascii"))
    else:
        part.set_type("application/octet-stream")
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(base64_lines(octets).decode("ascii").replace("\r\n", "\n"))


def _set_boundaries(message: StandardMessage, unique: str) -> None:
    """Give each multipart without a boundary a reproducible one.

    An existing boundary may be part of a signature and stays.
    """
    unbounded = [
        part
        for part in message.walk()
        if part.get_content_maintype() == "multipart" and part.get_boundary() is None
    ]
    if unbounded:
        token = boundary_token(unique, [[_written(message)]])
        for number, part in enumerate(unbounded):
            part.set_boundary(f"=_{number}.{token}")


def _check_signed(message: StandardMessage) -> None:
    for part in message.walk():
        if part.get_content_type() != "multipart/signed":
            continue
        if _written(part) != _written(part, encodings="8bit"):
            raise MessageError(
                "message",
                "has octets that are not ASCII in what is signed; write them as"
                " quoted-printable or base64 before you sign",
            )


def _check_boundaries(message: StandardMessage, written: bytes) -> None:
    """Refuse a boundary that is folded or split, which few clients can read."""
    for part in message.walk():
        boundary = part.get_boundary()
        if boundary is None:
            continue
        octets = boundary.encode("ascii", "surrogateescape")
        if b'="%s"' % octets not in written and b"=%s" % octets not in written:
            raise MessageError(
                "message",
                f"has a boundary that does not fit into a line, {shown(boundary)};"
                " use a short one",
            )


class _AsWritten(Compat32):
    """Writes a header that is text with its line breaks unchanged."""

    def fold(self, name: str, value: Any) -> str:
        return _compat32_for(value, self).fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        return _compat32_for(value, self).fold_binary(name, value)


def _compat32_for(value: object, policy: Policy) -> Compat32:
    return compat32.clone(
        linesep=policy.linesep,
        cte_type=policy.cte_type,
        max_line_length=None if isinstance(value, str) else LINE,
    )


class _Generator(BytesGenerator):
    """Writes a delivery status that is given as text like any other text."""

    def _handle_message_delivery_status(self, message: StandardMessage) -> None:
        if isinstance(message.get_payload(), str):
            self._handle_message(message)  # type: ignore[attr-defined]
        else:
            super()._handle_message_delivery_status(message)  # type: ignore[misc]


def _written(message: StandardMessage, encodings: str = "7bit") -> bytes:
    modern = isinstance(message.policy, EmailPolicy)
    policy = SMTP.clone(refold_source="none") if modern else _AsWritten()
    buffer = BytesIO()
    _Generator(
        buffer,
        mangle_from_=False,
        policy=policy.clone(linesep="\r\n", cte_type=encodings, max_line_length=LINE),
    ).flatten(message)
    return buffer.getvalue()


_READ_HERE = {"from", "to", "cc", "bcc", "reply-to", "subject", "date"}
_LEFT_OUT = {"mime-version", "resent-bcc"}


def headers_and_parts_of(
    message: StandardMessage,
    unique: str,
    default_sender: AddressLike | None,
    now: float | None,
) -> tuple[Headers, Part]:
    """The headers and the body of ``message``, which is not changed."""
    try:
        _check_depth(message)
        _check_every_header(message)
        headers = _headers(message, default_sender, now)
        headers.identify(unique)
        return headers, [parts_written(message, unique)]
    except MessageError:
        raise
    except Exception as error:  # the email package's parsers may raise anything
        raise MessageError("message", f"cannot be read as it is: {error!r}") from error


def _check_depth(message: StandardMessage) -> None:
    """Refuse a message before its nesting exhausts Python's stack."""
    level = [message]
    for _ in range(DEEPEST):
        payloads = [part.get_payload() for part in level]
        lists = [payload for payload in payloads if isinstance(payload, list)]
        parts = [part for each in lists for part in each]
        level = [part for part in parts if isinstance(part, StandardMessage)]
    if level:
        raise MessageError(
            "message",
            f"its parts are nested more than {DEEPEST} deep; put them side by side",
        )


def _check_every_header(message: StandardMessage) -> None:
    """Refuse unsafe headers of any part, both as written and as decoded."""
    for number, part in enumerate(message.walk()):
        for name, value in part.raw_items():
            field = f"part {number}, {name}" if number else str(name)
            header_name(name, field)
            for text in (unfolded(value), _decoded(name, value)):
                if place := barred(text.replace("\t", " ")):
                    raise HeaderError(
                        field, f"{shown(text)} has {place}; remove that character"
                    )


def _headers(
    message: StandardMessage, default_sender: AddressLike | None, now: float | None
) -> Headers:
    headers = Headers(
        sender=_sender(message, default_sender),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        bcc=_addresses(message, "Bcc"),
        reply_to=_addresses(message, "Reply-To"),
        subject=free_text(
            _decoded("Subject", _single_header(message, "Subject") or ""), "Subject"
        ),
        date=_date(message, now),
    )
    for name, value in message.raw_items():
        key = name.lower()
        if key not in _READ_HERE | _LEFT_OUT and not key.startswith("content-"):
            as_written = has_own_syntax(name) or holds_addresses(name)
            text = source(name, value) if as_written else _decoded(name, value)
            headers.add(name, text, name)
    return headers


def _sender(message: StandardMessage, default_sender: AddressLike | None) -> Address:
    senders = _addresses(message, "From")
    if len(senders) > 1:
        raise AddressError("From", "has several addresses; keep one")
    return senders[0] if senders else sender_or_default(None, default_sender)


def _date(message: StandardMessage, now: float | None) -> str:
    text = unfolded(_single_header(message, "Date") or "")
    if not text:
        return format_date(None, now)
    try:
        date = parsedate_to_datetime(text)
    except ValueError as error:
        raise HeaderError(
            "Date", f"{shown(text)} is not a date; use email.utils.format_datetime()"
        ) from error
    return format_date(date if date.tzinfo else date.replace(tzinfo=UTC), now)


def _addresses(message: StandardMessage, name: str) -> list[Address]:
    value = _single_header(message, name)
    if value is None:
        return []
    return read_mailboxes(source(name, value), name)


def _single_header(message: StandardMessage, name: str) -> Any:
    """The value of a header that may occur only once."""
    wanted = name.lower()
    values = [value for key, value in message.raw_items() if key.lower() == wanted]
    if len(values) > 1:
        raise HeaderError(name, "is allowed only once; put everything into one")
    return values[0] if values else None


def _decoded(name: str, value: Any) -> str:
    return str(parsed(name, value))
