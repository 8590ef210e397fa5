"""A mail's content, made safe to show: on a page, in a frame, and as files.

Its HTML may be written by strangers. It is shown in a sandboxed frame, under a policy
that forbids it everything, and without the elements that browsers act on in spite of
both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from flask import Response, abort, make_response, redirect, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from ..checks import Checked, check
from ..mime.parse import ParsedMessage, parse_message
from ..phrases import Phrase, phrase
from .security import protect_file, protect_mail

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""Types of parts that a mail's HTML may show by ``cid:``; none of them can run."""

_ACTIVE_ELEMENTS = re.compile(
    r"<(?=(?:link|meta|base|i?frame|frameset|fencedframe|object|embed|applet|form|"
    r"animate|set)[\s/>])",
    re.IGNORECASE,
)
_HREF = re.compile(r"(?<=[\s/\"'])(?:xlink:)?href(?=\s*=)", re.IGNORECASE)
"""The starts of elements, and the name of the attribute, for which a browser may
connect to another host although the policy forbids it: Chromium does so for frames, and
for a link that is clicked. HTML has no other spelling of them: neither entities nor
characters in between count."""

_LINK_STYLE = (
    "<style>:where(a[data-href]){color:#0645ad;text-decoration:underline}</style>"
)
"""Links that lead nowhere still look like links."""

PICTURES_LENGTH = 16 * 1024 * 1024
"""The most that all pictures of a page may take, each counted as often as it is shown.
"""

_CID = re.compile(r"cid:([^\s\"'<>()]{1,250})", re.IGNORECASE)


def sanitized_html(parsed: ParsedMessage) -> str | None:
    """The mail's HTML with its own pictures in it; None if it has no HTML.

    Elements that act without a click are removed, and so are the targets of links.
    Pictures are left out once they would take more than `PICTURES_LENGTH`. The sandbox
    and its policy (`security.MAIL_POLICY`) do the rest.
    """
    if parsed.html is None:
        return None
    html = _HREF.sub("data-href", _ACTIVE_ELEMENTS.sub("<no-", parsed.html.text))
    return _CID.sub(_Pictures(parsed).as_data_url, html) + _LINK_STYLE


class _Pictures:
    """The pictures of a mail, each inserted as long as there is room for it."""

    def __init__(self, parsed: ParsedMessage) -> None:
        self._parts = {
            one.content_id: one
            for one in reversed(parsed.parts)
            if one.content_id and one.content_type in PICTURES
        }
        self._written: dict[str, str] = {}
        self._left = PICTURES_LENGTH

    def as_data_url(self, found: re.Match[str]) -> str:
        """Replace a reference by the picture itself."""
        part = self._parts.get(found[1]) or self._parts.get(unquote(found[1]))
        if part is None or len(part.content) > self._left:
            return found[0]
        address = self._written.get(found[1])
        if address is None:
            picture = base64.b64encode(part.content).decode()
            address = f"data:{part.content_type};base64,{picture}"
            self._written[found[1]] = address
        self._left -= len(address)
        return address


WIDTHS = ("phone", "tablet", "desktop")
"""The widths of the frame that shows the HTML."""


@dataclass(frozen=True, slots=True)
class MailView:
    """A parsed and checked mail, and the view of it that was chosen."""

    parsed: ParsedMessage
    checked: Checked
    views: Mapping[str, Phrase]
    """The views that it has, and their titles."""
    view: str
    width: str
    images: bool
    """Whether images are fetched from elsewhere: only if a person asks for it."""


class MailUrls:
    """The URLs of a page that shows a mail, and of the mail's parts.

    ``kind`` begins the endpoints of the mail's parts, ``page`` is the endpoint of the
    page (by default ``kind``), and ``values`` identify the mail.
    """

    def __init__(self, kind: str, page: str | None = None, **values: Any) -> None:
        self._kind = kind
        self._page = page or kind
        self._values = values

    def page(self, **asked: Any) -> str:
        """The page itself, with another view."""
        return url_for(f".{self._page}", _anchor="mail", **{**self._values, **asked})

    def part(self, number: int) -> str:
        """An attachment."""
        return url_for(f".{self._kind}_part", number=number, **self._values)

    def html(self, images: bool = False) -> str:
        """The HTML, for the frame."""
        asked = "1" if images else None
        return url_for(f".{self._kind}_html", images=asked, **self._values)

    @property
    def digest(self) -> str:
        """A digest that changes with the mail, if the mail can change."""
        return url_for(f".{self._kind}_digest", **self._values)

    @property
    def source(self) -> str:
        """The mail's RFC 5322 source, as text."""
        return url_for(f".{self._kind}_source", **self._values)

    @property
    def file(self) -> str:
        """The mail as a file."""
        return url_for(f".{self._kind}_file", **self._values)


def mail_view(
    content: bytes, asked: Mapping[str, str], tag: str | None = None
) -> MailView:
    """The view of ``content`` that a query string chooses."""
    parsed = parse_message(content)
    checked = check(parsed, size_bytes=len(content), tag=tag)
    views = _views(parsed, checked)
    view, width = asked.get("view", ""), asked.get("width", "")
    return MailView(
        parsed=parsed,
        checked=checked,
        views=views,
        view=view if view in views else next(iter(views)),
        width=width if width in WIDTHS else WIDTHS[-1],
        images=asked.get("images") == "1",
    )


def _views(parsed: ParsedMessage, checked: Checked) -> Mapping[str, Phrase]:
    views = {
        "html": phrase("HTML") if parsed.html else None,
        "text": phrase("Text") if parsed.text else None,
        "headers": phrase("Headers"),
        "links": phrase("Links %(number)s", number=len(checked.links)),
        "checks": phrase("Checks %(number)s", number=len(checked.findings)),
    }
    return {name: title for name, title in views.items() if title}


def framed_html(content: bytes, page: str) -> AnyResponse:
    """A mail's HTML, for the frame on its ``page`` only.

    Requested as a page of its own, it redirects to ``page``. Images are fetched from
    elsewhere only if the query asks for it.
    """
    if request.headers.get("Sec-Fetch-Dest", "iframe") != "iframe":
        return redirect(page)
    html = sanitized_html(parse_message(content))
    if html is None:
        abort(404, phrase("This mail has no HTML."))
    return protect_mail(make_response(html), images=request.args.get("images") == "1")


def source_of(content: bytes) -> Response:
    """A mail's RFC 5322 source, as text."""
    text = content.decode("utf-8", "replace")
    return protect_file(Response(text, mimetype="text/plain"))


def part_of(content: bytes, number: int) -> Response:
    """One part of a mail, as a file."""
    parts = {part.number: part for part in parse_message(content).parts}
    if number not in parts:
        abort(404, phrase("This mail has no part %(number)s.", number=number))
    return download(parts[number].content, parts[number].filename)


def download(content: bytes, name: str) -> Response:
    """A file to download, of a type that no browser opens."""
    return protect_file(
        send_file(
            BytesIO(content),
            "application/octet-stream",
            as_attachment=True,
            download_name=name,
        )
    )
