"""Files: what a mail says as answers of their own, none of which can do anything."""

from __future__ import annotations

from io import BytesIO

from flask import Response, abort, make_response, redirect, request, send_file
from werkzeug.wrappers import Response as AnyResponse

from ..opened import open_message
from .headers import as_file, as_mail
from .inert import inert_html


def framed_html(content: bytes, page: str) -> AnyResponse:
    """A mail's HTML, for the frame on its ``page`` and for nowhere else.

    As a page of its own its links would lead somewhere. Images are fetched from
    elsewhere only where the query asks for it.
    """
    if request.headers.get("Sec-Fetch-Dest", "iframe") != "iframe":
        return redirect(page)
    html = inert_html(open_message(content))
    if html is None:
        abort(404, "This mail has no HTML.")
    return as_mail(make_response(html), images=request.args.get("images") == "1")


def source_of(content: bytes) -> Response:
    """A mail as it goes over the wire, to be read."""
    text = content.decode("utf-8", "replace")
    return as_file(Response(text, mimetype="text/plain"))


def part_of(content: bytes, number: int) -> Response:
    """One part of a mail, as a file."""
    parts = {part.number: part for part in open_message(content).parts}
    if number not in parts:
        abort(404, f"This mail has no part {number}.")
    return download(parts[number].content, parts[number].filename)


def download(content: bytes, name: str) -> Response:
    """A file of no type that a browser would open."""
    return as_file(
        send_file(
            BytesIO(content),
            "application/octet-stream",
            as_attachment=True,
            download_name=name,
        )
    )
