"""Checks of what some mail clients leave out: hints only, as a mail may do without.

The facts are what https://www.caniemail.com published on 26 September 2026. Each has
the month of its tests there: clients change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import splitext
from urllib.parse import unquote, urlsplit

from ..mime.parse import Part
from .findings import Finding, advice
from .html import Image, VisibleHtml

GMAIL = "Gmail"
OUTLOOK = "classic Outlook for Windows"
"""Outlook 2007 to 2019, which draws with Word; the new one is as Outlook.com."""
OUTLOOK_COM = "Outlook.com"
YAHOO = "Yahoo Mail"


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that some mail clients leave out."""

    name: str
    clients: tuple[str, ...]
    """The clients that leave it out."""
    tested: str
    """The month of the tests, such as 2021-11."""
    todo: str

    @property
    def finding(self) -> Finding:
        """The hint for a mail that has it."""
        *most, last = self.clients
        clients = f"{', '.join(most)} and {last} leave" if most else f"{last} leaves"
        return advice(f"{clients} out {self.name} (tested {self.tested}).", self.todo)


_LAYOUT = "Lay it out with tables, or make sure that it reads well without."
_LINK = "Show an image that links to a page which has it."
_COLOR = (
    "Give the element a background colour beside it, on which the text is readable."
)

STYLES: dict[re.Pattern[str], Feature] = {
    re.compile(pattern, re.IGNORECASE): feature
    for pattern, feature in {
        r"display\s*:\s*(?:inline-)?flex\b": Feature(
            "display: flex", (OUTLOOK,), "2021-11", _LAYOUT
        ),
        r"display\s*:\s*(?:inline-)?grid\b": Feature(
            "display: grid", (OUTLOOK,), "2019-02", _LAYOUT
        ),
        r"position\s*:\s*(?:absolute|fixed|sticky)\b": Feature(
            "position: absolute, fixed and sticky",
            (GMAIL, OUTLOOK, YAHOO),
            "2021-05",
            _LAYOUT,
        ),
        r"background(?:-image)?\s*:[^;{}]{0,200}\burl\(": Feature(
            "background images", (OUTLOOK,), "2023-07", _COLOR
        ),
        r"\blinear-gradient\(": Feature(
            "linear-gradient()", (OUTLOOK, OUTLOOK_COM, YAHOO), "2021-12", _COLOR
        ),
        r"@font-face\b": Feature(
            "fonts of your own (@font-face)",
            (GMAIL, OUTLOOK, OUTLOOK_COM, YAHOO),
            "2023-12",
            "Name a font that everybody has behind it, as in font-family: Own, Arial.",
        ),
        r"\bvar\(\s*--": Feature(
            "CSS variables (var())",
            (GMAIL, OUTLOOK, OUTLOOK_COM, YAHOO),
            "2020-02",
            "Write the values themselves.",
        ),
        r"@(?:-webkit-)?keyframes\b": Feature(
            "animations (@keyframes)",
            (GMAIL, OUTLOOK, OUTLOOK_COM),
            "2021-05",
            "Make sure that the first state is the one to be seen.",
        ),
    }.items()
}
"""By what is looked for in styles."""

ELEMENTS = {
    "video": Feature("<video>", (GMAIL, OUTLOOK, OUTLOOK_COM, YAHOO), "2019-09", _LINK),
    "svg": Feature(
        "<svg>",
        (GMAIL, OUTLOOK, OUTLOOK_COM, YAHOO),
        "2020-02",
        "Show it as an image, in PNG.",
    ),
}

IMAGES = {
    "webp": Feature(
        "images in WebP", (OUTLOOK,), "2021-02", "Show it in JPEG, PNG or GIF."
    ),
    "avif": Feature(
        "images in AVIF", (OUTLOOK,), "2023-01", "Show it in JPEG, PNG or GIF."
    ),
}
"""By the ending of their address, or by their type."""


def check_clients(seen: VisibleHtml, parts: Iterable[Part]) -> Iterator[Finding]:
    """Check for what some mail clients leave out, each once."""
    styles = _without_comments(seen.styles)
    for pattern, feature in STYLES.items():
        if pattern.search(styles):
            yield feature.finding
    for element, feature in ELEMENTS.items():
        if element in seen.elements:
            yield feature.finding
    types = {part.content_id: part.content_type for part in parts}
    kinds = {_kind(image, types) for image in seen.images}
    for kind, feature in IMAGES.items():
        if kind in kinds:
            yield feature.finding


def _without_comments(styles: str) -> str:
    return "".join(one.partition("*/")[2] for one in f"*/{styles}".split("/*"))


def _kind(image: Image, types: dict[str | None, str]) -> str:
    """``png``, ``webp``, …: what an image is in; "" if that is unknown."""
    scheme, _, name = image.source.partition(":")
    if scheme.lower() == "cid":
        return types.get(unquote(name), "").rpartition("/")[2].lower()
    try:
        return splitext(urlsplit(image.source).path)[1].removeprefix(".").lower()
    except ValueError:
        return ""
