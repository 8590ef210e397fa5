"""HTML for mail: absolute links, embedded images, inlined CSS.

Many mail clients apply only the styles in elements. Nothing is fetched.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import flask
from flask import Flask, current_app, has_request_context, request
from werkzeug.routing import BuildError
from werkzeug.security import safe_join

from ..errors import TemplateError
from ..message import Attachment
from .loader import FOLDER

_embedded: ContextVar[dict[str, Attachment] | None] = ContextVar(
    "embedded", default=None
)
"""The images of the HTML that is being rendered, by Content-ID."""


@contextmanager
def embedding() -> Iterator[dict[str, Attachment]]:
    """Collect what `mail_image` embeds inside the ``with`` block."""
    images: dict[str, Attachment] = {}
    token = _embedded.set(images)
    try:
        yield images
    finally:
        _embedded.reset(token)


def mail_image(name: str) -> str:
    """Embed an image in the mail; returns the ``cid:`` address that shows it.

    It is the file ``mail/name`` in the template folders of the app and its blueprints,
    else ``name`` in the app's static folder. A file is embedded once, however often it
    is shown. Raises `TemplateError`.
    """
    images = _embedded.get()
    if images is None:
        raise TemplateError(
            f"mail_image({name!r}) is for HTML: a text or a subject can show no image."
        )
    content_type, _ = mimetypes.guess_type(name)
    if content_type is None or not content_type.startswith("image/"):
        raise TemplateError(
            f"mail_image({name!r}): its file name is not that of an image."
        )
    content = _find(current_app, name).read_bytes()
    content_id = f"{blake2b(content, digest_size=12).hexdigest()}@mail-image"
    if content_id not in images:
        images[content_id] = Attachment(
            Path(name).name, content_type, content, content_id=content_id
        )
    return f"cid:{content_id}"


def _find(app: Flask, name: str) -> Path:
    for folder, inside in _folders(app):
        found = safe_join(folder, *inside, name)
        if found is not None and Path(found).is_file():
            return Path(found)
    raise TemplateError(
        f"mail_image({name!r}): there is no such file below {FOLDER}/ in the template "
        "folders of the app and its blueprints, nor in the app's static folder."
    )


def _folders(app: Flask) -> Iterator[tuple[str, tuple[str, ...]]]:
    loaders: list[Any] = [one.jinja_loader for one in (app, *app.iter_blueprints())]
    for loader in loaders:
        for folder in getattr(loader, "searchpath", ()):
            yield folder, (FOLDER,)
    if app.static_folder:
        yield app.static_folder, ()


_IN_ANCHORS = "%!#$&'()*+,/:;=?@"


def url_for(
    endpoint: str,
    *,
    _anchor: str | None = None,
    _method: str | None = None,
    _scheme: str | None = None,
    _external: bool = True,
    **values: Any,
) -> str:
    """Flask's ``url_for``, absolute (``_external=True``) by default.

    With ``SERVER_NAME``, the host is always that, so that a forged Host header cannot
    get into a mail. Without ``SERVER_NAME`` a request is needed; raises `TemplateError`
    if there is none.
    """
    adapter = current_app.create_url_adapter(None)
    if adapter is None:
        return _url_for_request(
            endpoint,
            _anchor=_anchor,
            _method=_method,
            _scheme=_scheme,
            _external=_external,
            **values,
        )
    current_app.inject_url_defaults(endpoint, values)
    try:
        url = adapter.build(
            endpoint,
            values,
            method=_method,
            url_scheme=_scheme,
            force_external=_external,
        )
    except BuildError as error:
        values.update(
            _anchor=_anchor, _method=_method, _scheme=_scheme, _external=_external
        )
        return current_app.handle_url_build_error(error, endpoint, values)
    return url if _anchor is None else f"{url}#{quote(_anchor, safe=_IN_ANCHORS)}"


def _url_for_request(endpoint: str, **values: Any) -> str:
    if not has_request_context():
        raise TemplateError(
            f"url_for({endpoint!r}) needs to know the app's server: set SERVER_NAME, "
            "and APPLICATION_ROOT and PREFERRED_URL_SCHEME where they are not '/' and "
            "'http'."
        )
    return flask.url_for(endpoint, **values)


_styled = re.compile(r'<(?:style(?! data-css-inline="ignore")|link)\b', re.IGNORECASE)
_begun = re.compile(r"<!--|<(style|link)\b", re.IGNORECASE)
_style_ended = re.compile(r"</style\b", re.IGNORECASE)

_SEEN_HERE = {"", "all", "screen"}
"""Media whose rules may be inlined."""


def has_styles(html: str) -> bool:
    """Whether there may be styles to inline."""
    return _styled.search(html) is not None


def inlined(html: str) -> str:
    """``html`` with the rules of its ``<style>`` elements, and of linked static
    stylesheets of the app, inlined in the elements.

    Rules that cannot be inlined, such as ``a:hover``, ``@media``, those for other media
    and those for elements that only a mail client creates, stay in a ``<style>``. Links
    to other sites stay links. Comments are ignored. Raises `TemplateError` if a
    stylesheet does not exist.
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
    """``html`` with links to static stylesheets replaced by their rules.

    Rules for other media are put into ``@media``. After an unclosed comment or tag,
    nothing is changed.
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
            pieces.append(_as_style_element(tag) if kind == "link" else tag)
    return "".join([*pieces, html[position:]])


def _end(html: str, start: int, ending: str) -> int:
    # The shortest comment is <!-->.
    found = html.find(ending, start + len("<!"))
    return len(html) if found < 0 else found + len(ending)


def _as_style_element(link: str) -> str:
    """A link to a static stylesheet as a ``<style>``, any other link unchanged."""
    attributes = _attributes(link)
    path = _static_path(attributes.get("href", ""))
    if path is None or "stylesheet" not in attributes.get("rel", "").lower().split():
        return link
    return f"<style>{_with_media_query(attributes, _read(path))}</style>"


def _style(tag: str, rules: str) -> str:
    """A ``<style>`` up to its end tag, with its media in its rules."""
    for_media = _with_media_query(_attributes(tag), rules)
    return f"{tag}{rules}" if for_media == rules else f"<style>{for_media}"


def _with_media_query(attributes: dict[str, str], rules: str) -> str:
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
    """The path in the app's static folder that a URL points to, if it does."""
    address = urlsplit(href)
    hosts, roots = _app_hosts()
    if address.netloc and address.netloc not in hosts:
        return None
    for root in roots:
        beginning = f"{root}{current_app.static_url_path}/"
        if address.path.startswith(beginning):
            return unquote(address.path.removeprefix(beginning))
    return None


def _app_hosts() -> tuple[set[str], set[str]]:
    """The hosts of this app, and the paths below which it is mounted."""
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
