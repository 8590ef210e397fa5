"""Inert: a mail's HTML made ready to be shown where nothing of it can act."""

from __future__ import annotations

import base64
import re

from ..opened import Opened

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""Types of parts that a mail's HTML may show by ``cid:``; none of them can run."""

_ACTING = re.compile(r"<(?=(?:link|meta|base)[\s/>])", re.IGNORECASE)
"""The starts of elements that can open connections without fetching anything, which no
policy forbids. Nothing else begins such an element in HTML: not a space after the
``<``, not an entity, not another spelling."""


def inert_html(opened: Opened) -> str | None:
    """The mail's HTML with its own pictures in it, and none of the elements that act
    by being there; None where it has no HTML.

    The sandbox and the policy under which it is shown do the rest: `headers.MAIL`.
    """
    if opened.html is None:
        return None
    html = _ACTING.sub("<no-", opened.html.text)
    for part in opened.parts:
        if part.content_id and part.content_type in PICTURES:
            picture = base64.b64encode(part.content).decode()
            html = html.replace(
                f"cid:{part.content_id}",
                f"data:{part.content_type};base64,{picture}",
            )
    return html
