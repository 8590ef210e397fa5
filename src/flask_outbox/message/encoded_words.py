"""Encoded words: text of any language, written in ASCII (RFC 2047), read."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp

_PATTERN = r"=\?([^? *]+)(?:\*[^? ]*)?\?([bBqQ])\?([^? ]*)\?="

encoded_word = re.compile(_PATTERN)
are_encoded_words = re.compile(rf"(?:{_PATTERN})+").fullmatch


def decoded(words: str) -> str:
    """The text of encoded words; what stands between them is left out.

    Octets of one charset are put together before they are decoded, since there are
    writers that cut characters in two. Raises `ValueError` where a charset is unknown
    or does not know the octets.
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
