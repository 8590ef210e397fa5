"""The parts of a standard library message, written as they are and checked.

Some of them may be signed, so that what is there stays octet for octet: boundaries,
the lines of headers, transfer encodings that are fit for the wire.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from email.generator import BytesGenerator
from email.message import Message as StandardMessage
from email.policy import SMTP, Compat32, EmailPolicy, Policy, compat32
from io import BytesIO
from typing import Any

from ..characters import shown
from ..errors import MessageError
from .bodies import base64_lines, wire_fault, with_crlf
from .headers import LINE
from .parts import boundary_token


def parts_written(message: StandardMessage, unique: str) -> bytes:
    """Content headers and parts as the standard library writes them, then checked.

    Raises `MessageError` for what no server should see, and for what is signed and
    could not stay as it is.
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
    """The parts that hold no others, and whether each is within what is signed."""
    payload: Any = message.get_payload()
    if isinstance(payload, list):
        signed = signed or message.get_content_type() == "multipart/signed"
        for part in payload:
            yield from _leaves(part, signed)
    else:
        yield message, signed


def _carry_message(part: StandardMessage, signed: bool) -> None:
    """Have a message that is given as text leave with CRLF, and unencoded.

    It may not be encoded (RFC 2046 section 5.2.1). One that is not fit for that travels
    octet by octet as a file of no known type instead, as an `Attachment` does.
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
    """Have no boundary left to chance; one that is there may be part of a signature."""
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
    """Refuse a boundary that is folded, or cut in pieces that few readers join."""
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
    """Writes a header that is text in the lines that it has."""

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
    """Writes a delivery status that is given as text, as any other text."""

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
