"""Leftovers: what a template was to fill in, and did not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

_PLACEHOLDER = re.compile(
    r"\{\{.{0,80}?\}\}"  # Jinja
    r"|\{%.{0,80}?%\}"
    r"|\$\{\w[^{}\n]{0,40}\}"
    r"|(?<![\w$}])\{[a-z_][\w.]{0,40}\}"  # str.format
    r"|%\([a-z_]\w{0,40}\)[sd]",  # gettext and %
    re.IGNORECASE,
)
_NOTHING = re.compile(r"\b[^\W\d_]{1,40},? None\b(?! of\b)")
_NOTHING_IN_LINK = re.compile(r"[/=]None(?=[/?&#.]|$)")
_OBJECT = re.compile(
    r"<(?:function|built-in|bound method|class|module|property) [^<>\n]{1,60}>?"
    r"|<[\w.]+ object at 0x[0-9a-f]+>",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"&(?:amp|lt|gt|quot|nbsp|apos|#\d{2,5}|#x[0-9a-f]{2,4});", re.I)


def placeholders(text: str) -> Iterator[str]:
    """What was to be filled in: ``{{ name }}``, ``{name}``, ``%(name)s``."""
    for found in _PLACEHOLDER.finditer(text):
        yield found[0]


def missing_in_link(target: str) -> str | None:
    """What stands in a link, percent-encoded or not, where a value was to be."""
    nothing = _NOTHING_IN_LINK.search(target)
    return next(placeholders(unquote(target)), nothing and nothing[0])


def nothings(text: str) -> Iterator[str]:
    """Where a value was missing, or no text: ``Dear None``, ``<Order object …>``."""
    for pattern in (_NOTHING, _OBJECT):
        for found in pattern.finditer(text):
            yield found[0]


def escapes(text: str) -> Iterator[str]:
    """What was escaped for HTML where it is read as it stands: ``&#39;``."""
    for found in _ESCAPED.finditer(text):
        yield found[0]
