"""The dev inbox: mail that was kept here instead of leaving."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, make_response, request

from ...delivery import State
from ...outbox.searches import Search
from ..blueprint import dashboard, runtime
from ..headers import let_frame
from ..rendering import page
from ..said import Places, said

ROWS = 50
"""How many messages are on one page."""


@dashboard.get("/inbox")
def inbox() -> str:
    """The newest messages that stayed here."""
    here = runtime()
    outbox = here.outbox
    return page(
        "inbox.html",
        seen=outbox.news(),
        found=outbox.search(
            Search(state=State.SENT, kept_here=True),
            ROWS,
            before=request.args.get("before"),
            after=request.args.get("after"),
        ),
        keeping=[
            name for name, one in here.settings.transports.items() if one.smtp is None
        ],
        suppress=here.settings.suppress,
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


@dashboard.get("/inbox/<id>")
def kept(id: str) -> Response:
    """What one message says, and what would go wrong with it."""
    outbox = runtime().outbox
    record = outbox.get(id)
    content = outbox.content(id)
    places = Places("message", page="kept", id=id)
    html = page(
        "kept.html",
        record=record,
        said=content and said(content, request.args, record.tag),
        places=places,
    )
    return let_frame(make_response(html), places.html())
