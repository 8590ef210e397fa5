"""Previews: messages that are built to be viewed, and never sent."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask import Flask, Response, abort, current_app, jsonify, make_response, request
from werkzeug.wrappers import Response as AnyResponse

from ... import previews as registry
from ...app_state import state_of, this_app
from ...config import Settings
from ...errors import MessageError
from ...message import LOCALE_LENGTH
from ...mime import compose
from ...phrases import phrase
from ...previews import Preview, Previews
from ...templating import Message
from ..mail_view import MailUrls, download, framed_html, mail_view, part_of, source_of
from ..pages import dashboard, expensive, needs, page, runtime
from ..roles import Role
from ..security import allow_frame

LOCALE = "locale"
"""The parameter that chooses the language, of the function or of Flask-Babel."""

VARIES = "varies"
"""The digest of a preview that differs each time it is built."""


@dataclass(frozen=True, slots=True)
class Built:
    """The result of building a preview: a message's bytes, or the traceback."""

    content: bytes | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PreviewBuilder:
    """Builds previews for one app."""

    app: Flask
    settings: Settings
    base_url: str
    """The app's address, from which ``url_for(..., _external=True)`` starts."""

    def build(self, preview: Preview, chosen: Mapping[str, str]) -> Built:
        """Build it, with the chosen values of its parameters."""
        return self._build(preview, chosen, now=None)

    def digest(self, preview: Preview, chosen: Mapping[str, str]) -> str:
        """A digest that changes only with the message, or `VARIES`."""
        one, other = (self._build(preview, chosen, now=0.0) for _ in range(2))
        if one != other:
            return VARIES
        return sha256(one.content or one.error.encode("utf-8", "replace")).hexdigest()

    def locales(self) -> list[str]:
        """The languages of the app's Flask-Babel; none without Flask-Babel."""
        if "babel" not in self.app.extensions:
            return []
        from flask_babel import get_babel

        with self.app.app_context():
            return sorted(map(str, get_babel().instance.list_translations()))

    def _build(
        self, preview: Preview, chosen: Mapping[str, str], now: float | None
    ) -> Built:
        try:
            with self._contexts(chosen.get(LOCALE, "")):
                built = preview.build(chosen)
                composed = compose(
                    built.rendered() if isinstance(built, Message) else built,
                    default_sender=self.settings.default_sender,
                    ascii_attachments=self.settings.ascii_attachments,
                    now=now,
                    unique="preview",
                )
            return Built(composed.content)
        except Exception as error:
            return Built(None, _traceback(error))

    @contextlib.contextmanager
    def _contexts(self, locale: str) -> Iterator[None]:
        """The contexts that a view has, and the chosen language.

        They are new ones, so that a preview cannot change the dashboard's own ``g``.
        """
        with (
            self.app.app_context(),
            self.app.test_request_context("/", base_url=self.base_url),
            self._with_locale(locale),
        ):
            yield

    def _with_locale(self, locale: str) -> contextlib.AbstractContextManager[Any]:
        if not locale or "babel" not in self.app.extensions:
            return contextlib.nullcontext()
        if len(locale) > LOCALE_LENGTH:
            raise ValueError(f"{locale[:LOCALE_LENGTH]!r}… is not a language.")
        from flask_babel import force_locale

        forced: contextlib.AbstractContextManager[Any] = force_locale(locale)
        return forced


def _traceback(error: Exception) -> str:
    """The traceback from the preview's own function on; only the text of our own
    errors.
    """
    frames = None if isinstance(error, MessageError) else error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in _OUTER:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


_OUTER = {__file__, registry.__file__, contextlib.__file__}


ARGUMENT = "arg."
"""The prefix of a preview's parameters in the query string."""


@dashboard.get("/previews")
@needs(Role.CONTENT)
def previews() -> str:
    """Every preview, by name."""
    return page("previews.html", previews=list(_registered()))


@dashboard.get("/previews/<name>")
@needs(Role.CONTENT)
@expensive
def preview(name: str) -> Response:
    """A preview, built now, or the error that prevented it."""
    found, builder, chosen = _named(name), _builder(), _chosen()
    built = builder.build(found, chosen)
    urls = _urls(name)
    html = page(
        "preview.html",
        preview=found,
        built=built,
        mail=built.content and mail_view(built.content, request.args),
        urls=urls,
        chosen=chosen,
        argument=ARGUMENT,
        locales=builder.locales(),
    )
    return allow_frame(make_response(html), urls.html().partition("?")[0])


@dashboard.get("/previews/<name>/digest")
@needs(Role.CONTENT)
@expensive
def preview_digest(name: str) -> Response:
    """A digest that changes with the preview."""
    return jsonify(digest=_builder().digest(_named(name), _chosen()))


@dashboard.get("/previews/<name>/html")
@needs(Role.CONTENT)
@expensive
def preview_html(name: str) -> AnyResponse:
    """A preview's HTML."""
    return framed_html(_content(name), _urls(name).page())


@dashboard.get("/previews/<name>/source")
@needs(Role.CONTENT)
@expensive
def preview_source(name: str) -> Response:
    """A preview's RFC 5322 source, as text."""
    return source_of(_content(name))


@dashboard.get("/previews/<name>/message.eml")
@needs(Role.CONTENT)
@expensive
def preview_file(name: str) -> Response:
    """A preview's RFC 5322 source, as a file."""
    return download(_content(name), f"{name}.eml")


@dashboard.get("/previews/<name>/parts/<int:number>")
@needs(Role.CONTENT)
@expensive
def preview_part(name: str, number: int) -> Response:
    """One part of a preview, as a file."""
    return part_of(_content(name), number)


def _registered() -> Previews:
    return state_of(current_app).previews


def _named(name: str) -> Preview:
    found = _registered().get(name)
    if found is None:
        abort(404, phrase("There is no preview %(name)s.", name=repr(name)))
    return found


def _builder() -> PreviewBuilder:
    app = this_app()
    return PreviewBuilder(app, runtime().settings, request.root_url)


def _chosen() -> dict[str, str]:
    """The parameters that were chosen, by their names."""
    chosen = {
        key.removeprefix(ARGUMENT): value
        for key, value in request.args.items()
        if key.startswith(ARGUMENT)
    }
    return {**chosen, LOCALE: request.args.get(LOCALE, "")}


def _urls(name: str) -> MailUrls:
    """The addresses of this preview with the parameters that were chosen."""
    chosen = {
        key: value
        for key, value in request.args.items()
        if key == LOCALE or key.startswith(ARGUMENT)
    }
    return MailUrls("preview", name=name, **chosen)


def _content(name: str) -> bytes:
    built = _builder().build(_named(name), _chosen())
    if built.content is None:
        abort(404, phrase("This preview could not be built: its page shows the error."))
    return built.content
