"""What a mail says, as files and for the frame in which its HTML is shown."""

from __future__ import annotations

from io import BytesIO

from flask import Response, abort, make_response, redirect, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...opened import open_message
from ..blueprint import dashboard, runtime
from ..headers import as_file, as_mail
from ..inert import inert_html


@dashboard.get("/messages/<id>/html")
def message_html(id: str) -> AnyResponse:
    """A mail's HTML, for the frame on its page and for nowhere else.

    As a page of its own its links would lead somewhere.
    """
    if request.headers.get("Sec-Fetch-Dest", "iframe") != "iframe":
        return redirect(url_for(".message", id=id))
    html = inert_html(open_message(_content(id)))
    if html is None:
        abort(404, f"Message {id} has no HTML.")
    return as_mail(make_response(html))


@dashboard.get("/messages/<id>/source")
def source(id: str) -> Response:
    """A mail as it goes over the wire, to be read."""
    text = _content(id).decode("utf-8", "replace")
    return as_file(Response(text, mimetype="text/plain"))


@dashboard.get("/messages/<id>/message.eml")
def download(id: str) -> Response:
    """A mail as it goes over the wire, as a file."""
    return _as_download(_content(id), f"{id}.eml")


@dashboard.get("/messages/<id>/parts/<int:number>")
def attachment(id: str, number: int) -> Response:
    """One part of a mail, as a file."""
    parts = {part.number: part for part in open_message(_content(id)).parts}
    if number not in parts:
        abort(404, f"Message {id} has no part {number}.")
    return _as_download(parts[number].content, parts[number].name)


def _as_download(content: bytes, name: str) -> Response:
    """A file of no type that a browser would open."""
    return as_file(
        send_file(
            BytesIO(content),
            "application/octet-stream",
            as_attachment=True,
            download_name=name,
        )
    )


def _content(id: str) -> bytes:
    outbox = runtime().outbox
    content = outbox.content(id)
    if content is None:
        outbox.get(id)
        abort(404, f"The content of message {id} was pruned (OUTBOX_KEEP_BODIES).")
    return content
