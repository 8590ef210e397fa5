"""What a mail says, as files and for the frame in which its HTML is shown."""

from __future__ import annotations

from flask import Response, abort
from werkzeug.wrappers import Response as AnyResponse

from ..blueprint import dashboard, runtime
from ..files import download, framed_html, part_of, source_of
from ..said import Places


@dashboard.get("/messages/<id>/html")
def message_html(id: str) -> AnyResponse:
    """A mail's HTML."""
    return framed_html(_content(id), Places("message", id=id).page())


@dashboard.get("/messages/<id>/source")
def message_source(id: str) -> Response:
    """A mail as it goes over the wire, to be read."""
    return source_of(_content(id))


@dashboard.get("/messages/<id>/message.eml")
def message_file(id: str) -> Response:
    """A mail as it goes over the wire, as a file."""
    return download(_content(id), f"{id}.eml")


@dashboard.get("/messages/<id>/parts/<int:number>")
def message_part(id: str, number: int) -> Response:
    """One part of a mail, as a file."""
    return part_of(_content(id), number)


def _content(id: str) -> bytes:
    outbox = runtime().outbox
    content = outbox.content(id)
    if content is None:
        if outbox.get(id).template is not None:
            abort(404, f"Message {id} is not rendered yet.")
        abort(404, f"The content of message {id} was pruned (OUTBOX_KEEP_BODIES).")
    return content
