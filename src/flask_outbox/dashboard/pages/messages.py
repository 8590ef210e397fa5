"""The list of messages, searched and a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import request

from ...outbox.searches import Tab
from ..actions import ACTIONS
from ..asked import FIELDS, filters, search_for, tab_of
from ..blueprint import dashboard, runtime
from ..rendering import page

ROWS = 50
"""How many messages are on one page."""


@dashboard.get("/messages")
def messages() -> str:
    """The newest messages that fit what was asked."""
    outbox = runtime().outbox
    given = filters(request.args)
    asked = dict.fromkeys(FIELDS, "") | given
    seen = outbox.news()
    found = outbox.search(
        search_for(asked),
        ROWS,
        before=_asked("before") or None,
        after=_asked("after") or None,
    )
    return page(
        "messages.html",
        seen=seen,
        found=found,
        actions=ACTIONS,
        asked=asked,
        given=given,
        tab=tab_of(asked),
        tabs=list(Tab),
        lanes=list(runtime().settings.transports),
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


def _asked(name: str) -> str:
    """What the address says, in characters that every database takes."""
    return "".join(one for one in request.args.get(name, "") if one.isprintable())
