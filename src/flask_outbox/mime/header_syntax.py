"""How one header is written: checked, encoded and folded.

Nothing else in Flask-Outbox writes a header. The result is one or more complete lines,
each ending in CRLF and at most 998 octets long; where the text allows it, at most 78
(RFC 5322 section 2.1.1).
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator
from string import ascii_letters, digits
from urllib.parse import quote

from ..errors import HeaderError, MessageError
from ..message.addresses import ATEXT, Address
from ..message.text import barred, shown

LINE = 78
LONGEST_LINE = 998
NAME_LENGTH = 76

_PHRASE_WORD = 60
_ENCODED_WORD_LENGTH = 75
_ENCODED_WORD_FRAME = len("=?utf-8?q??=")
_ONE_CHARACTER = len("=F0=9F=98=80")

_STRUCTURED = {"references", "in-reply-to", "auto-submitted", "precedence"}
_STRUCTURED_FAMILIES = ("list-", "resent-", "dkim-", "arc-", "received")

_is_name = re.compile(r"[!-9;-~]+").fullmatch
_is_phrase = re.compile(rf"{ATEXT}+(?: {ATEXT}+)*").fullmatch
_encoded_word = re.compile(r"=\?[^? ]+\?[bq]\?[^? ]*\?=", re.IGNORECASE).search
_split_at_single_spaces = re.compile(r"(?<=[^ ]) (?=[^ ])").split


# -- checks --------------------------------------------------------------------------


def as_text(value: object, field: str, error: type[MessageError]) -> str:
    """A string, or an object that acts as one (a lazy translation), as an exact
    `str`.
    """
    if type(value) is str:
        return value
    if isinstance(value, str) or hasattr(value, "encode"):
        return str(value)
    raise error(field, f"is {shown(value)}; pass a string")


def one_line(value: object, field: str, error: type[MessageError] = HeaderError) -> str:
    """The text of ``value``, checked to be safe in a header.

    Raises ``error`` for CR, LF, NUL, other controls and lone surrogates.
    """
    text = value if type(value) is str else as_text(value, field, error)
    if place := barred(text):
        raise error(field, f"{shown(text)} has {place}; remove that character")
    return text


def free_text(value: object, field: str) -> str:
    """Like `one_line`, with each tab replaced by a space."""
    text = value if type(value) is str else as_text(value, field, HeaderError)
    if text.isascii() and text.isprintable():
        return text
    return one_line(text.replace("\t", " "), field)


def header_name(name: object, field: str) -> str:
    """``name``, checked to be a valid header name (RFC 5322 section 2.2)."""
    if not isinstance(name, str) or not _is_name(name):
        raise HeaderError(
            field,
            "is not a header name; use letters, digits and hyphens, such as 'X-Tag'",
        )
    if len(name) > NAME_LENGTH:
        raise HeaderError(field, f"is a name of more than {NAME_LENGTH} characters")
    return str(name)


# -- the kinds of header -------------------------------------------------------------


def unstructured(name: str, text: str) -> str:
    """A header of free text, such as Subject; decoding it gives exactly this text.

    Words that are not ASCII, look like encoded words, or are too long for a line become
    encoded words (RFC 2047); so does leading or trailing white space.
    """
    room = LINE - len(name) - len(": ")
    if _is_simple(text) and len(text) <= room:
        return f"{name}: {text}\r\n"
    words = _split_at_single_spaces(text)
    strange = [
        index
        for index, word in enumerate(words)
        if not _is_simple(word) or len(word) > (LINE - 1 if index else room)
    ]
    if strange:
        span = slice(strange[0], strange[-1] + 1)
        words[span] = encoded_words(" ".join(words[span]), room)
    return fold(name, words)


def structured(name: str, text: str, field: str) -> str:
    """A header with its own syntax: not encoded, and folded only at its spaces."""
    if not text.isascii():
        raise HeaderError(field, f"{shown(text)} is not ASCII, which {name} must be")
    if len(name) + 2 + len(text) <= LINE:
        return f"{name}: {text}\r\n"
    words = _split_at_single_spaces(text)
    if any(len(word) >= LONGEST_LINE for word in words):
        raise HeaderError(
            field,
            f"{shown(text)} has no space at which its line could be kept within"
            f" {LONGEST_LINE} octets; shorten it",
        )
    return fold(name, words)


def extra(name: str, value: object, field: str) -> str:
    """A header that the user names: ASCII is written unchanged, the rest encoded.

    White space around the value is dropped; it has no meaning (RFC 5322 section 2.2).
    """
    text = free_text(value, field).strip(" ")
    if has_own_syntax(name) or (text.isascii() and not _encoded_word(text)):
        return structured(name, text, field)
    return unstructured(name, text)


def has_own_syntax(name: str) -> bool:
    """Whether the header is for machines, so that encoding would break it."""
    key = name.lower()
    return key in _STRUCTURED or key.startswith(_STRUCTURED_FAMILIES)


def address_list(name: str, addresses: Iterable[Address]) -> str:
    """A header of addresses; names are encoded, local parts are not."""
    room = LINE - len(name) - len(": ")
    words: list[str] = []
    for address in addresses:
        if not address.display_name:
            words.append(f"{address.spec},")
            continue
        mailbox = [*_phrase(address.display_name, room), f"<{address.spec}>,"]
        whole = " ".join(mailbox)
        words += [whole] if len(whole) <= room else mailbox
    return fold(name, words).removesuffix(",\r\n") + "\r\n"


def parameterised(
    name: str,
    value: str,
    parameters: Iterable[tuple[str, str]],
    utf_8: str = "utf-8",
) -> str:
    """A header such as Content-Type: ``value; name=parameter`` (RFC 2045, RFC 2231).

    ``utf_8`` is the name by which a parameter says that it is in UTF-8.
    """
    words = [value]
    for key, parameter in parameters:
        words += _parameter(key, parameter, utf_8)
    return fold(name, [*(f"{word};" for word in words[:-1]), words[-1]])


# -- how they are written ------------------------------------------------------------


def fold(name: str, words: Iterable[str]) -> str:
    """Write ``words`` separated by single spaces, in lines of at most 78 if they
    fit.
    """
    lines: list[str] = []
    line = f"{name}:"
    begun = False
    for word in words:
        length = len(line) + 1 + len(word)
        if length > LINE and (begun or length > LONGEST_LINE):
            lines.append(line)
            line = ""
        line += f" {word}"
        begun = True
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def encoded_words(text: str, room: int) -> list[str]:
    """``text`` as encoded words in UTF-8 (RFC 2047), the first at most ``room`` long.

    No character is split between two words. Uses Q if most of the text stays readable,
    otherwise B.
    """
    rest = _ENCODED_WORD_LENGTH - _ENCODED_WORD_FRAME
    first = min(max(room - _ENCODED_WORD_FRAME, _ONE_CHARACTER), rest)
    octets = text.encode()
    quoted = _q(octets)
    if len(quoted) <= 2 * len(octets):
        if len(quoted) <= first:
            return [f"=?utf-8?q?{quoted}?="]
        return [f"=?utf-8?q?{_q(run)}?=" for run in _runs(text, _q_length, first, rest)]
    runs = _runs(text, len, first // 4 * 3, rest // 4 * 3)
    return [f"=?utf-8?b?{b2a_base64(run, newline=False).decode()}?=" for run in runs]


def _runs(
    text: str, weight: Callable[[bytes], int], first: int, rest: int
) -> Iterator[bytes]:
    """Split ``text`` between characters, into runs of at most that weight."""
    run, used, limit = bytearray(), 0, first
    for character in text:
        octets = character.encode()
        cost = weight(octets)
        if used + cost > limit:
            yield bytes(run)
            run, used, limit = bytearray(), 0, rest
        run += octets
        used += cost
    yield bytes(run)


_Q_SAFE = f"{ascii_letters}{digits}!*+-/"
_Q_OCTETS = {o: f"={o:02X}" for o in range(256) if chr(o) not in _Q_SAFE}
_Q_OCTETS[ord(" ")] = "_"


def _q(octets: bytes) -> str:
    return octets.decode("latin-1").translate(_Q_OCTETS)


def _q_length(octets: bytes) -> int:
    return len(_q(octets))


def _is_simple(text: str) -> bool:
    """Whether ``text`` survives unencoded: nothing is lost, and nothing is decoded."""
    edges = text[:1] + text[-1:]
    return text.isascii() and "=?" not in text and " " not in edges


def _phrase(name: str, room: int) -> list[str]:
    """A display name as the words of a phrase (RFC 5322 section 3.2.5)."""
    if _is_simple(name):
        words = name.split(" ")
        if _is_phrase(name) and max(map(len, words)) <= _PHRASE_WORD:
            return words
        if len(name) <= _PHRASE_WORD:
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            return [f'"{escaped}"']
    return encoded_words(name, room)


def _parameter(key: str, value: str, utf_8: str) -> list[str]:
    """One parameter; a long one is split into continuations (RFC 2231)."""
    plain = f'{key}="{value}"'
    if _is_simple(value) and not {'"', "\\"} & set(value) and len(plain) < LINE - 1:
        return [plain]
    pieces = [quote(character, safe="") for character in value]
    whole = f"{key}*={utf_8}''{''.join(pieces)}"
    if len(whole) < LINE - 1:
        return [whole]
    return list(_continuations(key, pieces, utf_8))


def _continuations(key: str, pieces: Iterable[str], utf_8: str) -> Iterator[str]:
    line, number = f"{key}*0*={utf_8}''", 0
    for piece in pieces:
        if len(line) + len(piece) > LINE - 2:
            yield line
            number += 1
            line = f"{key}*{number}*="
        line += piece
    yield line
