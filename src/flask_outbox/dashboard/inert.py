"""Inert: a mail's HTML made ready to be shown where nothing of it can act."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

from ..opened import Opened

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""Types of parts that a mail's HTML may show by ``cid:``; none of them can run."""

_ACTING = re.compile(
    r"<(?=(?:link|meta|base|i?frame|frameset|fencedframe|object|embed|applet|form|"
    r"animate|set)[\s/>])",
    re.IGNORECASE,
)
_LEADING = re.compile(r"(?<=[\s/\"'])(?:xlink:)?href(?=\s*=)", re.IGNORECASE)
"""The starts of elements, and the name of the attribute, for which a browser may open a
connection to another host although the policy forbids it to go or to ask there:
Chromium does so for frames, and for a link that is clicked. Nothing else spells them in
HTML: not an entity, and no character in between."""

_LOOK = "<style>:where(a[data-href]){color:#0645ad;text-decoration:underline}</style>"
"""Links that lead nowhere still look like links."""

PICTURES_LENGTH = 16 * 1024 * 1024
"""How much all pictures may come to where they are shown, each as often as it is."""

_SHOWN = re.compile(r"cid:([^\s\"'<>()]{1,250})", re.IGNORECASE)


def inert_html(opened: Opened) -> str | None:
    """The mail's HTML with its own pictures in it, without what acts by being there and
    without where its links lead; None where it has no HTML.

    Pictures are left out from where they would make more than `PICTURES_LENGTH`.

    The sandbox and the policy under which it is shown do the rest: `headers.MAIL`.
    """
    if opened.html is None:
        return None
    html = _LEADING.sub("data-href", _ACTING.sub("<no-", opened.html.text))
    return _SHOWN.sub(_Pictures(opened).shown, html) + _LOOK


class _Pictures:
    """The pictures of a mail, each written as often as there is room for it."""

    def __init__(self, opened: Opened) -> None:
        self._parts = {
            one.content_id: one
            for one in reversed(opened.parts)
            if one.content_id and one.content_type in PICTURES
        }
        self._written: dict[str, str] = {}
        self._room = PICTURES_LENGTH

    def shown(self, found: re.Match[str]) -> str:
        """The picture in place of where it is asked for."""
        part = self._parts.get(found[1]) or self._parts.get(unquote(found[1]))
        if part is None or len(part.content) > self._room:
            return found[0]
        address = self._written.get(found[1])
        if address is None:
            picture = base64.b64encode(part.content).decode()
            address = f"data:{part.content_type};base64,{picture}"
            self._written[found[1]] = address
        self._room -= len(address)
        return address
