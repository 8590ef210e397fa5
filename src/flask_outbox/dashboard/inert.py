"""Inert: a mail's HTML made ready to be shown where nothing of it can act."""

from __future__ import annotations

import base64
import re

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


def inert_html(opened: Opened) -> str | None:
    """The mail's HTML with its own pictures in it, without what acts by being there and
    without where its links lead; None where it has no HTML.

    The sandbox and the policy under which it is shown do the rest: `headers.MAIL`.
    """
    if opened.html is None:
        return None
    html = _LEADING.sub("data-href", _ACTING.sub("<no-", opened.html.text))
    for part in opened.parts:
        if part.content_id and part.content_type in PICTURES:
            picture = base64.b64encode(part.content).decode()
            html = html.replace(
                f"cid:{part.content_id}",
                f"data:{part.content_type};base64,{picture}",
            )
    return html + _LOOK
