"""What an HTML body shows: its visible text, links, images, and what is removed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser

REMOVED = {
    "script",
    "form",
    "input",
    "button",
    "iframe",
    "frame",
    "object",
    "embed",
    "applet",
    "base",
}
"""Elements that mail clients always remove."""

_UNSEEN = {"head", "script", "style", "template", "title"}
_IN_A_LINE = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "kbd", "mark",
    "q", "s", "small", "span", "strong", "sub", "sup", "u", "wbr",
}  # fmt: skip
"""Inline elements: their text continues the same word or line."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link as written: its text and its target."""

    text: str
    target: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image as written."""

    source: str
    alt: str | None
    """The alternative text; None if there is no such attribute."""


@dataclass(frozen=True, slots=True)
class VisibleHtml:
    """What an HTML body shows."""

    text: str
    anchors: tuple[Anchor, ...]
    images: tuple[Image, ...]
    removed: tuple[str, ...]
    """Elements that mail clients remove, each once."""
    remote_style: bool
    """Whether it links to an external style sheet."""
    styles: str
    """All styles: those of the elements, and those of ``<style>``."""
    elements: frozenset[str]
    """The names of all elements."""


def read_html(html: str) -> VisibleHtml:
    """Parse ``html`` as far as possible; never raises."""
    reader = _Reader()
    with suppress(AssertionError):  # a declaration unknown to the parser
        reader.feed(_closed(html))
        reader.close()
    reader.end_anchor()
    return VisibleHtml(
        text=" ".join("".join(reader.text).split()),
        anchors=tuple(reader.anchors),
        images=tuple(reader.images),
        removed=tuple(dict.fromkeys(reader.removed)),
        remote_style=reader.remote_style,
        styles="\n".join(reader.styles),
        elements=frozenset(reader.elements),
    )


def _closed(html: str) -> str:
    """``html`` without an unclosed tag at its end.

    A browser also drops an unclosed tag; the parser would search for its end again and
    again, which takes long.
    """
    parsed = html.find("<", html.rfind(">") + 1)
    return html if parsed < 0 else html[:parsed]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.anchors: list[Anchor] = []
        self.images: list[Image] = []
        self.removed: list[str] = []
        self.remote_style = False
        self.styles: list[str] = []
        self.elements: set[str] = set()
        self._unseen: list[str] = []
        self._target: str | None = None
        self._anchor_text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in reversed(attrs)}
        self.elements.add(tag)
        if "style" in attributes:
            self.styles.append(attributes["style"])
        if tag == "body":
            self._unseen.clear()
        if tag in REMOVED:
            self.removed.append(tag)
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag == "a" and "href" in attributes:
            self.end_anchor()
            self._target = attributes["href"].strip()
        elif tag == "img":
            self._image(attributes)
        elif tag == "link" and "stylesheet" in attributes.get("rel", "").lower():
            self.remote_style = True
        self._space_around(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.end_anchor()
        if tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        self._space_around(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._say(data)
        elif self._unseen[-1] == "style":
            self.styles.append(data)

    def end_anchor(self) -> None:
        """Add the link that was begun, whether or not its end tag exists."""
        if self._target is not None:
            text = " ".join("".join(self._anchor_text).split())
            self.anchors.append(Anchor(text, self._target))
        self._target = None
        self._anchor_text = []

    def _image(self, attributes: dict[str, str]) -> None:
        image = Image(attributes.get("src", "").strip(), attributes.get("alt"))
        self.images.append(image)
        if self._target is not None:
            self._anchor_text.append(f" {image.alt or ''} ")

    def _say(self, text: str) -> None:
        self.text.append(text)
        if self._target is not None:
            self._anchor_text.append(text)

    def _space_around(self, tag: str) -> None:
        if tag not in _IN_A_LINE:
            self._say(" ")
