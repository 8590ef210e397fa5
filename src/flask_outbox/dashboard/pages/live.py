"""News for the pages that are open."""

from __future__ import annotations

from flask import Response, abort, request

from ...outbox.ids import is_id
from ..blueprint import costs, dashboard, runtime
from ..streams import give_back, stream, take_place


@dashboard.get("/live")
@costs
def live() -> Response:
    """Tell when something happened to ``message``, or to any, after what was ``seen``.

    204 where there is no thread to spare for it: the browser then does not come back by
    itself, and the page looks again and again instead.
    """
    message_id = request.args.get("message")
    if message_id is not None and not is_id(message_id):
        abort(404, f"{message_id!r} is not the id of a message.")
    if not request.environ.get("wsgi.multithread") or not take_place():
        return Response(status=204)
    outbox = runtime().outbox
    news = stream(lambda: outbox.news(message_id), _seen())
    response = Response(news, mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(give_back)
    return response


def _seen() -> int:
    """What the page knows: as it was made, or since a stream before this one."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isdecimal() else request.args.get("seen", 0, type=int)
