"""Previews: messages that are built to be looked at, and never sent."""

from __future__ import annotations

from flask import Response, abort, current_app, jsonify, make_response, request
from werkzeug.wrappers import Response as AnyResponse

from ...previews import Preview, Previews
from ..blueprint import costs, dashboard, runtime
from ..files import download, framed_html, part_of, source_of
from ..headers import let_frame
from ..rendering import page
from ..said import Places, said
from ..stage import LOCALE, Stage

ARGUMENT = "arg."
"""What begins the names of a function's parameters in a query, beside those that say
how its mail is looked at."""


@dashboard.get("/previews")
def previews() -> str:
    """Every preview, by name."""
    return page("previews.html", previews=list(_registered()))


@dashboard.get("/previews/<name>")
@costs
def preview(name: str) -> Response:
    """A preview, built now, or what came in its way."""
    found, stage, chosen = _named(name), _stage(), _chosen()
    built = stage.build(found, chosen)
    places = _places(name)
    html = page(
        "preview.html",
        preview=found,
        built=built,
        said=built.content and said(built.content, request.args),
        places=places,
        chosen=chosen,
        argument=ARGUMENT,
        locales=stage.locales(),
    )
    return let_frame(make_response(html), places.html().partition("?")[0])


@dashboard.get("/previews/<name>/digest")
@costs
def preview_digest(name: str) -> Response:
    """What changes when the preview does."""
    return jsonify(digest=_stage().digest(_named(name), _chosen()))


@dashboard.get("/previews/<name>/html")
@costs
def preview_html(name: str) -> AnyResponse:
    """A preview's HTML."""
    return framed_html(_content(name), _places(name).page())


@dashboard.get("/previews/<name>/source")
@costs
def preview_source(name: str) -> Response:
    """A preview as it would go over the wire, to be read."""
    return source_of(_content(name))


@dashboard.get("/previews/<name>/message.eml")
@costs
def preview_file(name: str) -> Response:
    """A preview as it would go over the wire, as a file."""
    return download(_content(name), f"{name}.eml")


@dashboard.get("/previews/<name>/parts/<int:number>")
@costs
def preview_part(name: str, number: int) -> Response:
    """One part of a preview, as a file."""
    return part_of(_content(name), number)


def _registered() -> Previews:
    found: Previews = current_app.extensions["outbox"].previews
    return found


def _named(name: str) -> Preview:
    found = _registered().get(name)
    if found is None:
        abort(404, f"There is no preview {name!r}.")
    return found


def _stage() -> Stage:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return Stage(app, runtime().settings, request.root_url)


def _chosen() -> dict[str, str]:
    """The parameters that were chosen, by their names."""
    chosen = {
        key.removeprefix(ARGUMENT): value
        for key, value in request.args.items()
        if key.startswith(ARGUMENT)
    }
    return {**chosen, LOCALE: request.args.get(LOCALE, "")}


def _places(name: str) -> Places:
    """The addresses of this preview with the parameters that were chosen."""
    chosen = {
        key: value
        for key, value in request.args.items()
        if key == LOCALE or key.startswith(ARGUMENT)
    }
    return Places("preview", name=name, **chosen)


def _content(name: str) -> bytes:
    built = _stage().build(_named(name), _chosen())
    if built.content is None:
        abort(404, "This preview could not be built: its page says why.")
    return built.content
