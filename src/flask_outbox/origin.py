"""Origin: which request hands a message over, and when its response went out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from flask import Response, after_this_request, g, has_request_context, request

from .outbox.records import Receipt
from .runtime import Runtime


def note_the_request() -> None:
    """Remember when this request came."""
    g.outbox_request_began = time.perf_counter()


def origin() -> Mapping[str, Any] | None:
    """Which request hands the message over: its rule, for its URL may hold secrets."""
    if not has_request_context():
        return None
    route = request.url_rule.rule if request.url_rule else request.path
    return {
        "method": request.method,
        "route": route,
        "endpoint": request.endpoint,
        "request_id": _request_id(),
    }


def _request_id() -> str:
    """The server's id for this request, or one of our own."""
    given = request.headers.get("X-Request-ID", "")
    if given.isascii() and given.isprintable() and 0 < len(given) <= 128:
        return given
    if "outbox_request_id" not in g:
        g.outbox_request_id = secrets.token_hex(4)
    return str(g.outbox_request_id)


def tell_of_the_response(
    runtime: Runtime, receipt: Receipt, handover_seconds: float
) -> None:
    """Add to the story when the response went out, once it has."""
    request_began = g.get(
        "outbox_request_began", time.perf_counter() - handover_seconds
    )

    def went_out(status: int) -> None:
        runtime.note(
            receipt.id,
            "responded",
            status=status,
            handover_seconds=handover_seconds,
            response_seconds=time.perf_counter() - request_began,
        )

    @after_this_request
    def watch(response: Response) -> Response:
        response.call_on_close(lambda: went_out(response.status_code))
        return response
