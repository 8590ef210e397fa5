"""Said: what a mail says, in the way in which a person wants to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import url_for

from ..checks import Checked, check
from ..opened import Opened, open_message

WIDTHS = ("phone", "tablet", "desktop")
"""How wide the frame can be in which its HTML is shown."""


@dataclass(frozen=True, slots=True)
class Said:
    """A mail taken apart and checked, and how a person wants to look at it."""

    opened: Opened
    checked: Checked
    views: Mapping[str, str]
    """The ways in which it can be looked at, and what they are called."""
    view: str
    width: str
    images: bool
    """Whether images are fetched from elsewhere: only where a person asks for it."""


class Places:
    """The addresses of a page that shows a mail, and of what the page shows.

    ``kind`` begins the endpoints of what it shows, ``page`` is its own where that is
    not ``kind``, and ``values`` say which mail it is.
    """

    def __init__(self, kind: str, page: str | None = None, **values: Any) -> None:
        self._kind = kind
        self._page = page or kind
        self._values = values

    def page(self, **asked: Any) -> str:
        """The page itself, looked at in another way."""
        return url_for(f".{self._page}", _anchor="said", **{**self._values, **asked})

    def part(self, number: int) -> str:
        """An attachment."""
        return url_for(f".{self._kind}_part", number=number, **self._values)

    def html(self, images: bool = False) -> str:
        """The HTML, for the frame."""
        asked = "1" if images else None
        return url_for(f".{self._kind}_html", images=asked, **self._values)

    @property
    def digest(self) -> str:
        """What changes when the mail does, where it can."""
        return url_for(f".{self._kind}_digest", **self._values)

    @property
    def source(self) -> str:
        """The mail as it goes over the wire, to be read."""
        return url_for(f".{self._kind}_source", **self._values)

    @property
    def file(self) -> str:
        """The mail as a file."""
        return url_for(f".{self._kind}_file", **self._values)


def said(content: bytes, asked: Mapping[str, str], tag: str | None = None) -> Said:
    """What ``content`` says, looked at as a query string asks."""
    opened = open_message(content)
    checked = check(opened, size_bytes=len(content), tag=tag)
    views = _views(opened, checked)
    view, width = asked.get("view", ""), asked.get("width", "")
    return Said(
        opened=opened,
        checked=checked,
        views=views,
        view=view if view in views else next(iter(views)),
        width=width if width in WIDTHS else WIDTHS[-1],
        images=asked.get("images") == "1",
    )


def _views(opened: Opened, checked: Checked) -> Mapping[str, str]:
    views = {
        "html": "HTML" if opened.html else "",
        "text": "Text" if opened.text else "",
        "headers": "Headers",
        "links": f"Links {len(checked.links)}",
        "checks": f"Checks {len(checked.findings)}",
    }
    return {name: title for name, title in views.items() if title}
