"""Server-sent events that notify an open page of changes.

A stream occupies a thread of the server. So each process serves only one, it ends by
itself, and a server with a single thread serves none. A page without a stream polls
every few seconds instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from flask import Response, abort, request

from ...errors import StoreError
from ...outbox import is_id
from ..pages import dashboard, expensive, needs, runtime
from ..roles import Role

STREAMS = 1
"""How many a process serves at a time: of two threads, one stays free."""

STREAM_SECONDS = 20.0
"""How long one lasts. The browser opens another, for which access is checked again. A
server that is told to stop waits for a stream no longer than this."""

LOOK_SECONDS = 0.5
"""How often a stream looks into the outbox, which other processes change too."""

_room = threading.BoundedSemaphore(STREAMS)


def acquire_stream() -> bool:
    """Whether one more stream may start; at its end call `release_stream`."""
    return _room.acquire(blocking=False)


def release_stream() -> None:
    """Let another stream start."""
    _room.release()


def news_events(look: Callable[[], int], seen: int) -> Iterator[str]:
    """Server-sent events: one each time that ``look`` returns another number.

    In between, comments are sent, to notice when the browser is gone.
    """
    yield "retry: 1000\n\n"
    until = time.monotonic() + STREAM_SECONDS
    while time.monotonic() < until:
        try:
            now = look()
        except StoreError:
            return  # the page shows the error when it polls
        yield f"id: {now}\nevent: news\ndata: {now}\n\n" if now != seen else ":\n\n"
        seen = now
        time.sleep(LOOK_SECONDS)


@dashboard.get("/live")
@needs(Role.READ)
@expensive
def stream() -> Response:
    """Report each change of ``message``, or of any message, since the number ``seen``.

    Answers 204 if no thread is free for it: the browser then opens no further stream,
    and the page polls.
    """
    message_id = request.args.get("message")
    if message_id is not None and not is_id(message_id):
        abort(404, f"{message_id!r} is not the id of a message.")
    if not request.environ.get("wsgi.multithread") or not acquire_stream():
        return Response(status=204)
    outbox = runtime().outbox
    news = news_events(lambda: outbox.change_marker(message_id), _seen())
    response = Response(news, mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(release_stream)
    return response


def _seen() -> int:
    """The last change that the page knows of: from its URL or an earlier stream."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isdecimal() else request.args.get("seen", 0, type=int)
