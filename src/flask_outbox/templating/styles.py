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

_styled = re.compile(r"<(?:style|link)\b", re.IGNORECASE)
_begun = re.compile(r"<!--|<(style|link)\b", re.IGNORECASE)
_style_ended = re.compile(r"</style\b", re.IGNORECASE)

_SEEN_HERE = {"", "all", "screen"}
"""Media whose rules may be written into elements."""


def has_styles(html: str) -> bool:
    """Whether there may be anything to write into elements."""
    return _styled.search(html) is not None


def inlined(html: str) -> str:
    """``html`` with the rules of its ``<style>`` elements, and of the app's own static
    stylesheets that it links to, in the elements themselves.

    Rules that cannot be there, such as ``a:hover``, ``@media``, those for other media
    and those for elements that only a mail program makes, stay in a ``<style>``, and
    links to elsewhere stay links. Comments are passed over. Raises `TemplateError` for
    a stylesheet that is not there.
    """
    from css_inline import CSSInliner

    inliner = CSSInliner(
        keep_style_tags=True,
        remove_inlined_selectors=True,
        keep_link_tags=True,
        load_remote_stylesheets=False,
    )
    return inliner.inline(_prepared(html))


def _prepared(html: str) -> str:
    """``html`` with the rules of static stylesheets, and other media in ``@media``.

    What never ends, a comment or a tag, is left as it is, with all that follows.
    """
    pieces: list[str] = []
    position = 0
    while begun := _begun.search(html, position):
        start, kind = begun.start(), (begun[1] or "").lower()
        end = _end(html, start, ">" if kind else "-->")
        pieces.append(html[position:start])
        if kind == "style":
            ended = _style_ended.search(html, end)
            position = ended.start() if ended else len(html)
            pieces.append(_style(html[start:end], html[end:position]))
        else:
            position = end
            tag = html[start:end]
            pieces.append(_with_its_rules(tag) if kind == "link" else tag)
    return "".join([*pieces, html[position:]])


def _end(html: str, start: int, ending: str) -> int:
    # The shortest comment is <!-->.
    found = html.find(ending, start + len("<!"))
    return len(html) if found < 0 else found + len(ending)


def _with_its_rules(link: str) -> str:
    """A link to a static stylesheet as a ``<style>``, any other as it is."""
    attributes = _attributes(link)
    path = _static_path(attributes.get("href", ""))
    if path is None or "stylesheet" not in attributes.get("rel", "").lower().split():
        return link
    return f"<style>{_for_media(attributes, _read(path))}</style>"


def _style(tag: str, rules: str) -> str:
    """A ``<style>`` up to its end tag, with the media that it is for in its rules."""
    for_media = _for_media(_attributes(tag), rules)
    return f"{tag}{rules}" if for_media == rules else f"<style>{for_media}"


def _for_media(attributes: dict[str, str], rules: str) -> str:
    media = attributes.get("media", "").strip()
    return rules if media.lower() in _SEEN_HERE else f"@media {media} {{{rules}}}"


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
