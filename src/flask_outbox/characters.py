"""Which characters no header may hold, and how a refused value is shown."""

from __future__ import annotations

import re

_BARRED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MISLEADING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys, and what has a line read in another order than it has."""
_SHOWN_CHARACTERS = 60


def barred(text: str) -> str | None:
    """The first control or lone surrogate of ``text``, as ``U+000A at position 3``.

    ``None`` says that there is neither: no CR, LF, NUL or other C0 or C1 control, and
    nothing that UTF-8 could not carry. Positions count from 0, as in Python.
    """
    if text.isascii() and text.isprintable():
        return None
    found = _BARRED.search(text)
    return located(found[0], found.start()) if found else None


def located(character: str, position: int) -> str:
    """Name a character by its code point or as an octet, and say its place.

    A lone surrogate from U+DC80 to U+DCFF is how Python keeps an octet that it could
    not decode.
    """
    if "\udc80" <= character <= "\udcff":
        return f"the byte 0x{ord(character) - 0xDC00:02X} at position {position}"
    return f"U+{ord(character):04X} at position {position}"


def shown(value: object) -> str:
    """``repr(value)`` for an error message: on one line, and never long."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]!r}…"
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN_CHARACTERS else f"{text[:120]}…"


def plain(text: str) -> str:
    """``text`` with escapes for what would have it look like another; lines stay."""
    return _MISLEADING.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
