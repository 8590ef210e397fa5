"""One attachment as a part: its headers, and its octets in a transfer encoding.

Octets travel as base64 and arrive as they are, text included; only a message that is
attached as one is carried as text.
"""

from __future__ import annotations

import re
import unicodedata

from ..characters import shown
from ..errors import AttachmentError, HeaderError
from ..message import Attachment
from .bodies import Encoded, base64_lines, charset, encode_in, wire_fault, with_crlf
from .content_types import ContentType, is_token
from .headers import extra, header_name, one_line, parameterised

_is_content_id = re.compile(r"[!-;=?-~]{1,250}").fullmatch
_spaces = re.compile(r"\s+")

_ASK_INSTEAD = {
    "content-type": "pass content_type=",
    "content-disposition": "pass disposition= and filename=",
    "content-transfer-encoding": "leave it out",
    "mime-version": "leave it out",
}


def attachment_part(
    attachment: Attachment, field: str, ascii_filename: bool
) -> tuple[list[bytes], bool]:
    """The part, and whether the HTML may show it by its Content-ID."""
    if not isinstance(attachment, Attachment):
        raise AttachmentError(field, f"is {shown(attachment)}; pass an Attachment")
    content_type, (encoding, octets) = _typed_body(attachment, field)
    disposition = _disposition(attachment, field)
    content_id = _content_id(attachment, field)
    lines = [
        content_type.write(),
        f"Content-Transfer-Encoding: {encoding}\r\n",
        parameterised(
            "Content-Disposition",
            disposition,
            _filename(attachment, field, ascii_filename),
        ),
    ]
    if content_id:
        lines.append(f"Content-ID: {content_id}\r\n")
    for name, value in attachment.headers.items():
        if str(name).lower() != "content-id":
            lines.append(_own_header(name, value, f"{field}.headers[{shown(name)}]"))
    head = "".join(lines) + "\r\n"
    inlined = disposition == "inline" and content_id is not None
    return [head.encode("ascii"), octets], inlined


def _typed_body(attachment: Attachment, field: str) -> tuple[ContentType, Encoded]:
    content_type = ContentType.parse(
        attachment.content_type, f"{field}.content_type", AttachmentError
    )
    data = attachment.data
    if content_type.essence.startswith("multipart/"):
        raise AttachmentError(
            f"{field}.content_type",
            f"{content_type.essence} holds other parts; attach each of them",
        )
    if isinstance(data, str):
        content_type, data = _encoded_text(content_type, data, field)
    elif not isinstance(data, bytes):
        raise AttachmentError(f"{field}.data", f"is {shown(data)}; pass str or bytes")
    if content_type.essence.startswith("message/"):
        return _message_body(content_type, data)
    return content_type, ("base64", base64_lines(data))


def _encoded_text(
    content_type: ContentType, text: str, field: str
) -> tuple[ContentType, bytes]:
    """Text in the charset that its type names, or in UTF-8 with a charset to say so."""
    named = content_type.get("charset")
    into = charset(named or "utf-8", f"{field}.content_type", AttachmentError)
    octets = encode_in(into, text, f"{field}.data", AttachmentError)
    if content_type.essence.startswith("text/") or named:
        content_type = content_type.having("charset", into.name)
    return content_type, octets


def _message_body(
    content_type: ContentType, data: bytes
) -> tuple[ContentType, Encoded]:
    """A message within the message, which may not be base64 (RFC 2046 section 5.2.1).

    It is carried as 7bit, with CRLF for its line ends. One that is not fit for that
    travels octet by octet as a file of no known type instead.
    """
    lines = with_crlf(data)
    if wire_fault(lines) is None:
        return content_type, ("7bit", lines)
    file_type = ContentType("application/octet-stream")
    return file_type, ("base64", base64_lines(data))


def _disposition(attachment: Attachment, field: str) -> str:
    field = f"{field}.disposition"
    text = one_line(attachment.disposition, field, AttachmentError)
    if not is_token(text):
        raise AttachmentError(
            field, f"{shown(text)} is no disposition; use 'attachment' or 'inline'"
        )
    return text.lower()


def _filename(
    attachment: Attachment, field: str, ascii_only: bool
) -> list[tuple[str, str]]:
    if not attachment.filename:
        return []
    name = one_line(attachment.filename, f"{field}.filename", AttachmentError)
    if ascii_only:
        name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        name = _spaces.sub(" ", name).strip()
    return [("filename", name)]


def _content_id(attachment: Attachment, field: str) -> str | None:
    """The Content-ID in its angle brackets, from the argument or from the headers."""
    given = [("content_id", attachment.content_id)] if attachment.content_id else []
    for name, value in attachment.headers.items():
        if str(name).lower() == "content-id":
            given.append((f"headers[{shown(name)}]", value))
    if not given:
        return None
    place, value = given[0]
    if len(given) > 1:
        raise AttachmentError(f"{field}.{place}", "is given twice; leave one out")
    text = one_line(value, f"{field}.{place}", AttachmentError)
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not _is_content_id(bare):
        raise AttachmentError(
            f"{field}.{place}",
            f"{shown(text)} is no content id; use letters and digits, such as 'logo'",
        )
    return f"<{bare}>"


def _own_header(name: str, value: object, field: str) -> str:
    key = header_name(name, field).lower()
    if key in _ASK_INSTEAD:
        raise HeaderError(field, f"is written by Flask-Outbox; {_ASK_INSTEAD[key]}")
    return extra(name, value, field)
