"""Text and bytes in a transfer encoding: 7bit, quoted-printable or base64.

For any input the result is ASCII in lines of at most 998 octets that end with CRLF,
with no bare CR or LF and no NUL (RFC 5321 section 2.3.8, RFC 2045 section 6).
"""

from __future__ import annotations

import codecs
import re
from binascii import b2a_base64, b2a_qp
from dataclasses import dataclass
from functools import lru_cache

from ..errors import MessageError
from ..message.text import located, shown
from .header_syntax import LONGEST_LINE

_BASE64_LINE = 76
_BASE64_BLOCK = 1024 * _BASE64_LINE // 4 * 3

_is_token = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,40}").fullmatch

_MIME_NAMES = {
    "ascii": "us-ascii",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
    "iso2022_jp": "iso-2022-jp",
    "iso2022_kr": "iso-2022-kr",
    "utf-8": "utf-8",
}


@dataclass(frozen=True, slots=True)
class Charset:
    """A character set: its MIME name, and Python's codec."""

    name: str
    codec: str
    keeps_lines: bool
    """Whether CR and LF are encoded as in ASCII; if not, only base64 is legal."""


Encoded = tuple[str, bytes]
"""A transfer encoding, and a body encoded in it."""


def charset(
    name: object, field: str, error: type[MessageError] = MessageError
) -> Charset:
    """The character set of that name; raises ``error`` if Python does not know it."""
    found = _charset(name) if isinstance(name, str) else None
    if found is None:
        raise error(
            field, f"{shown(name)} is not a known character set; omit it for utf-8"
        )
    return found


@lru_cache(maxsize=64)
def _charset(name: str) -> Charset | None:
    if not _is_token(name):
        return None
    try:
        line_end = "\r\n".encode(name)
        codec = codecs.lookup(name).name
    except (LookupError, UnicodeError):
        return None
    return Charset(_mime_name(codec, name), codec, line_end == b"\r\n")


def _mime_name(codec: str, name: str) -> str:
    """The MIME name, if Python's name differs (RFC 2978)."""
    if codec.startswith("iso8859-"):
        return codec.replace("iso", "iso-", 1)
    if codec.startswith("cp125"):
        return codec.replace("cp", "windows-", 1)
    return _MIME_NAMES.get(codec, name)


def encode_text(text: str, into: Charset, field: str) -> Encoded:
    """``text`` with CRLF line ends, in the smallest legal encoding.

    Plain ASCII in short lines stays readable as 7bit. Text with a NUL becomes base64,
    the only encoding that every client decodes to the same bytes.
    """
    if not into.keeps_lines:
        text = re.sub("\r\n?|\n", "\r\n", text)
        return "base64", base64_lines(encode_in(into, text, field))
    octets = with_crlf(encode_in(into, text, field))
    if b"\0" in octets:
        return "base64", base64_lines(octets)
    if octets.isascii() and (len(octets) <= LONGEST_LINE or _has_legal_lines(octets)):
        return "7bit", octets
    quoted = _quoted_printable(octets)
    if len(quoted) <= _base64_length(octets):
        return "quoted-printable", quoted
    return "base64", base64_lines(octets)


def with_crlf(octets: bytes) -> bytes:
    """``octets`` with each CR, LF and CRLF replaced by CRLF."""
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return octets.replace(b"\n", b"\r\n")


def encode_in(
    into: Charset, text: str, field: str, error: type[MessageError] = MessageError
) -> bytes:
    """``text`` encoded; raises ``error`` with the character that has no encoding."""
    try:
        return text.encode(into.codec)
    except UnicodeEncodeError as failure:
        character = text[failure.start]
        if "\ud800" <= character <= "\udfff":
            problem = "is no character; decode the text in its charset, or remove it"
        else:
            problem = f"is not in {into.name}; leave the charset out for utf-8"
        place = located(character, failure.start)
        raise error(field, f"{place} {problem}") from failure


def wire_fault(octets: bytes) -> str | None:
    """Why ``octets`` cannot be sent as 7bit; None if they can."""
    if not octets.isascii():
        return "octets that are not ASCII"
    if b"\0" in octets:
        return "a NUL"
    ends = octets.count(b"\r\n")
    if octets.count(b"\r") != ends or octets.count(b"\n") != ends:
        return "a CR or LF that stands alone"
    if not _has_legal_lines(octets):
        return f"a line of more than {LONGEST_LINE} octets"
    return None


def _has_legal_lines(octets: bytes) -> bool:
    return max(map(len, octets.split(b"\r\n"))) <= LONGEST_LINE


def _base64_length(octets: bytes) -> int:
    characters = -(-len(octets) // 3) * 4
    return characters + (characters - 1) // _BASE64_LINE * len("\r\n")


def _quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable of text whose lines end in CRLF (RFC 2045 section 6.7)."""
    quoted = b2a_qp(octets)
    if b"\n" in octets:
        return quoted
    return quoted.replace(b"\n", b"\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 (RFC 2045 section 6.8), without a final line end.

    Encoded in blocks, so that a large file is never in memory as separate lines.
    """
    starts = range(0, len(octets), _BASE64_BLOCK)
    return b"\r\n".join(
        [_base64_block(octets[start : start + _BASE64_BLOCK]) for start in starts]
    )


def _base64_block(octets: bytes) -> bytes:
    encoded = b2a_base64(octets, newline=False)
    starts = range(0, len(encoded), _BASE64_LINE)
    return b"\r\n".join([encoded[start : start + _BASE64_LINE] for start in starts])
