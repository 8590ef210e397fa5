"""What stands in a header of a standard library message, as it was written.

The email package decodes encoded words before anyone can see where they stood. What
they say may look like syntax, so that addresses are read from the source.
"""

from __future__ import annotations

import re
from email.errors import NonASCIILocalPartDefect
from email.header import Header
from email.policy import SMTP
from typing import Any

from ..characters import shown
from ..errors import AddressError, HeaderError
from ..message.encoded_words import are_encoded_words, decoded, encoded_word

_fold = re.compile(r"\r?\n(?=[ \t])")

_HARMLESS = {
    "period in 'phrase'",
    "comment found without atom",
    "empty element in mailbox-list",
    "empty element in address-list",
    "address-list entry with no content",
    "group-list with empty entries",
}
"""Old ways to write, which the email package reads as everyone does."""


def unfolded(value: Any) -> str:
    """The value of a header in one line."""
    return _fold.sub("", str(value))


def parsed(name: str, value: Any) -> Any:
    """The email package's header object, made of the source where there is none.

    Raises `HeaderError` for what its parser cannot cope with.
    """
    if hasattr(value, "defects"):
        return value
    text = unfolded(value)
    try:
        return SMTP.header_factory(name, text)
    except (AttributeError, IndexError, ValueError) as error:
        raise HeaderError(name, f"{shown(text)} cannot be read; correct it") from error


def source(name: str, value: Any) -> str:
    """The value of a header in one line, with its encoded words as such.

    Raises `HeaderError` where it was read in a way that leaves its meaning open.
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
    """Its own encoded words; a header that is nothing else stands for one text."""
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
        # The parser keeps all the text from the encoded word on.
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
