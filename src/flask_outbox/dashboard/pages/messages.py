"""The list of messages, searched and a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import request

from ...outbox.searches import Tab
from ..actions import ACTIONS
from ..asked import search_for, tab_of
from ..blueprint import dashboard, runtime
from ..rendering import page

ROWS = 50
"""How many messages are on one page."""

FIELDS = ("q", "is", "tag", "lane", "since", "until")


@dashboard.get("/messages")
def messages() -> str:
    """The newest messages that fit what was asked."""
    outbox = runtime().outbox
    asked = {name: _printable(request.args.get(name, "")) for name in FIELDS}
    seen = outbox.news()
    found = outbox.search(
        search_for(asked),
        ROWS,
        before=request.args.get("before"),
        after=request.args.get("after"),
    )
    return page(
        "messages.html",
        seen=seen,
        found=found,
        actions=ACTIONS,
        asked=asked,
        given={name: value for name, value in asked.items() if value},
        tab=tab_of(asked),
        tabs=list(Tab),
        lanes=list(runtime().settings.transports),
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


def _printable(text: str) -> str:
    """``text`` as every database takes it."""
    return "".join(one for one in text if one.isprintable())
