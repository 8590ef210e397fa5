"""Styles: CSS written into the elements that it is for, since many mail programs look
nowhere else. Nothing is ever fetched.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flask import current_app, has_request_context, request
from werkzeug.security import safe_join

from ..errors import TemplateError

_link = re.compile(r"<link\b[^>]*>", re.IGNORECASE)
_styled = re.compile(r"<(?:style|link)\b", re.IGNORECASE)


def has_styles(html: str) -> bool:
    """Whether there may be anything to write into elements."""
    return _styled.search(html) is not None


def inlined(html: str) -> str:
    """``html`` with the rules of its ``<style>`` elements, and of the app's own static
    stylesheets that it links to, in the elements themselves.

    Rules that cannot be there, such as ``@media``, stay in a ``<style>``, and links to
    elsewhere stay links. Raises `TemplateError` for a stylesheet that is not there.
    """
    from css_inline import CSSInliner

    inliner = CSSInliner(
        keep_at_rules=True, keep_link_tags=True, load_remote_stylesheets=False
    )
    return inliner.inline(_link.sub(_with_its_rules, html))


def _with_its_rules(link: re.Match[str]) -> str:
    """A link to a static stylesheet as a ``<style>``, any other as it is."""
    attributes = _attributes(link[0])
    path = _static_path(attributes.get("href", ""))
    if path is None or "stylesheet" not in attributes.get("rel", "").lower().split():
        return link[0]
    media = attributes.get("media", "")
    rules = _read(path)
    return f"<style>{f'@media {media} {{{rules}}}' if media else rules}</style>"


def _attributes(tag: str) -> dict[str, str]:
    found: dict[str, str] = {}

    class Reader(HTMLParser):
        def handle_starttag(
            self, tag: str, attrs: list[tuple[str, str | None]]
        ) -> None:
            found.update({name: value or "" for name, value in attrs})

    Reader().feed(tag)
    return found


def _static_path(href: str) -> str | None:
    """What the app's static folder has at an address, if that leads there at all."""
    address = urlsplit(href)
    hosts, roots = _here()
    if address.netloc and address.netloc not in hosts:
        return None
    for root in roots:
        beginning = f"{root}{current_app.static_url_path}/"
        if address.path.startswith(beginning):
            return unquote(address.path.removeprefix(beginning))
    return None


def _here() -> tuple[set[str], set[str]]:
    """The hosts that are this app, and the paths below which it is there."""
    hosts = {current_app.config["SERVER_NAME"]}
    roots = {"", current_app.config["APPLICATION_ROOT"].rstrip("/")}
    if has_request_context():
        hosts.add(request.host)
        roots.add(request.script_root)
    return hosts, roots


def _read(path: str) -> str:
    folder = current_app.static_folder
    found = safe_join(folder, path) if folder else None
    if found is None or not Path(found).is_file():
        raise TemplateError(
            f"there is no stylesheet {path!r} in the app's static folder."
        )
    return Path(found).read_text(encoding="utf-8")
