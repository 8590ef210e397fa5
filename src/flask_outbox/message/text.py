"""Text from users: what a header must not contain, and how errors show a value.

Also labels (keys, tags and lists), and encoded words (RFC 2047), decoded.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp
from collections.abc import Callable
from typing import Any

from ..errors import MessageError

SENSITIVE_SUBJECT = "(sensitive)"
"""The subject that is stored and shown of a message whose content is hidden."""

_BARRED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MISLEADING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that control a terminal, or that change the order in which a line is read.
"""
_SHOWN_CHARACTERS = 60


def barred(text: str) -> str | None:
    """The first control or lone surrogate of ``text``, as ``U+000A at position 3``.

    None if there is neither: no CR, LF, NUL or other C0 or C1 control, and nothing that
    UTF-8 cannot encode. Positions count from 0, as in Python.
    """
    if text.isascii() and text.isprintable():
        return None
    found = _BARRED.search(text)
    return located(found[0], found.start()) if found else None


def located(character: str, position: int) -> str:
    """Name a character, by code point or as a byte, and its position.

    Python represents a byte that it could not decode as a lone surrogate from U+DC80 to
    U+DCFF.
    """
    if "\udc80" <= character <= "\udcff":
        return f"the byte 0x{ord(character) - 0xDC00:02X} at position {position}"
    return f"U+{ord(character):04X} at position {position}"


def shown(value: object) -> str:
    """``repr(value)`` for an error message: on one line, and shortened."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]!r}…"
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN_CHARACTERS else f"{text[:120]}…"


def plain(text: str) -> str:
    """``text`` with misleading characters escaped; line breaks are preserved."""
    return _MISLEADING.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


LABEL_LENGTH = 255
"""The longest label, in characters. Every database can index so many."""


def check_label(field: str, label: Any) -> None:
    """Raise `MessageError` with ``field`` unless ``label`` is valid."""
    if not isinstance(label, str) or not 0 < len(label) <= LABEL_LENGTH:
        raise MessageError(
            field, f"{label!r} is not a string of 1 to {LABEL_LENGTH} characters."
        )
    if label != label.strip():
        raise MessageError(field, f"{label!r} begins or ends with a space: remove it.")
    if not label.isprintable():
        raise MessageError(field, f"{label!r} has characters that cannot be printed.")


_PATTERN = r"=\?([^? *]+)(?:\*[^? ]*)?\?([bBqQ])\?([^? ]*)\?="

encoded_word: re.Pattern[str] = re.compile(_PATTERN)
are_encoded_words: Callable[[str], re.Match[str] | None] = re.compile(
    rf"(?:{_PATTERN})+"
).fullmatch


def decoded(words: str) -> str:
    """The text of encoded words, without the white space between them.

    The bytes of one charset are joined before they are decoded, because some senders
    split characters between words. Raises `ValueError` if a charset is unknown or
    cannot decode the bytes.
    """
    runs: list[tuple[str, bytearray]] = []
    for charset, encoding, text in encoded_word.findall(words):
        octets = _octets(encoding.lower(), text)
        if runs and runs[-1][0] == charset.lower():
            runs[-1][1].extend(octets)
        else:
            runs.append((charset.lower(), bytearray(octets)))
    try:
        return "".join([octets.decode(charset) for charset, octets in runs])
    except (LookupError, UnicodeError) as error:
        raise ValueError(str(error)) from error


def _octets(encoding: str, text: str) -> bytes:
    if not text.isascii():
        raise ValueError("an encoded word has characters that are not ASCII")
    if encoding == "q":
        return a2b_qp(text, header=True)
    try:
        return a2b_base64(text + "=" * (-len(text) % 4))
    except Base64Error as error:
        raise ValueError(str(error)) from error
