"""One attachment as a MIME part: its content type, its headers, its encoded bytes.

The bytes travel as base64 and arrive unchanged, text included. Only an attached message
is sent unencoded (RFC 2045 section 5.1).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ..errors import AttachmentError, HeaderError, MessageError
from ..message import Attachment
from ..message.text import shown
from .encoding import Encoded, base64_lines, charset, encode_in, wire_fault, with_crlf
from .header_syntax import extra, header_name, one_line, parameterised

_WORD = r"[A-Za-z0-9!#$&+.^_`{|}~-]{1,60}"
_is_essence = re.compile(f"{_WORD}/{_WORD}").fullmatch
_is_token = re.compile(_WORD).fullmatch
_next_parameter = re.compile(
    rf' *; *({_WORD})=(?:({_WORD})(?= *(?:;|$))|"((?:[^"\\]|\\.)*)")'
).match


@dataclass(frozen=True, slots=True)
class ContentType:
    """A type, its subtype and its parameters, each well-formed."""

    essence: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: object, field: str, error: type[MessageError]) -> ContentType:
        """Parse ``value``; raises ``error`` with ``field`` if it is invalid."""
        text = one_line(value, field, error).strip(" ")
        essence = text.partition(";")[0].rstrip(" ")
        if not _is_essence(essence):
            raise error(
                field, f"{shown(text)} is not a content type; write one as 'text/csv'"
            )
        parameters: list[tuple[str, str]] = []
        position = len(essence)
        while found := _next_parameter(text, position):
            name, token, quoted = found.groups()
            if any(name.lower() == key.lower() for key, _ in parameters):
                raise error(field, f"{shown(text)} has {name!r} twice; leave one out")
            parameters.append((name, token or _unescaped(quoted)))
            position = found.end()
        if text[position:].strip(" ;"):
            raise error(
                field,
                f"{shown(text)} has a parameter that cannot be read; write it as"
                " 'name=value' or 'name=\"some value\"'",
            )
        return cls(essence.lower(), tuple(parameters))

    def get(self, name: str) -> str | None:
        """The value of a parameter; its name is case-insensitive."""
        for key, value in self.parameters:
            if key.lower() == name:
                return value
        return None

    def having(self, name: str, value: str) -> ContentType:
        """The same type with this parameter added or replaced."""
        parameters = [
            (key, value if key.lower() == name else given)
            for key, given in self.parameters
        ]
        if self.get(name) is None:
            parameters.append((name, value))
        return ContentType(self.essence, tuple(parameters))

    def write(self) -> str:
        """The Content-Type header."""
        return parameterised("Content-Type", self.essence, self.parameters)


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


_is_content_id = re.compile(r"[!-;=?-~]{1,250}").fullmatch
_spaces = re.compile(r"\s+")

_ASK_INSTEAD = {
    "content-type": "pass content_type=",
    "content-disposition": "pass disposition= and filename=",
    "content-transfer-encoding": "leave it out",
    "mime-version": "leave it out",
}


def attachment_part(
    attachment: Attachment,
    field: str,
    *,
    ascii_filename: bool,
    in_flask_mails_form: bool,
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
            "UTF8" if in_flask_mails_form else "utf-8",
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
    """Text in the charset that its type names, or in UTF-8 with that charset added."""
    named = content_type.get("charset")
    into = charset(named or "utf-8", f"{field}.content_type", AttachmentError)
    octets = encode_in(into, text, f"{field}.data", AttachmentError)
    if content_type.essence.startswith("text/") or named:
        content_type = content_type.having("charset", into.name)
    return content_type, octets


def _message_body(
    content_type: ContentType, data: bytes
) -> tuple[ContentType, Encoded]:
    """An attached message, which must not be base64 (RFC 2046 section 5.2.1).

    It is sent as 7bit with CRLF line ends. If 7bit is impossible, it is sent unchanged
    as a file of unknown type.
    """
    lines = with_crlf(data)
    if wire_fault(lines) is None:
        return content_type, ("7bit", lines)
    file_type = ContentType("application/octet-stream")
    return file_type, ("base64", base64_lines(data))


def _disposition(attachment: Attachment, field: str) -> str:
    field = f"{field}.disposition"
    text = one_line(attachment.disposition, field, AttachmentError)
    if not _is_token(text):
        raise AttachmentError(
            field, f"{shown(text)} is not a disposition; use 'attachment' or 'inline'"
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
    """The Content-ID in angle brackets, from the argument or from the headers."""
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
            f"{shown(text)} is not a content id; use letters and digits, as in 'logo'",
        )
    return f"<{bare}>"


def _own_header(name: str, value: object, field: str) -> str:
    key = header_name(name, field).lower()
    if key in _ASK_INSTEAD:
        raise HeaderError(field, f"is written by Flask-Outbox; {_ASK_INSTEAD[key]}")
    return extra(name, value, field)
