"""One message: its story, why it was sent, to whom, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, make_response, request, url_for

from ...opened import Opened, open_message
from ...outbox.records import LaneRecord, MessageRecord
from ...picture import Pause, Sight
from ..actions import ACTIONS
from ..blueprint import dashboard, runtime
from ..headers import let_frame
from ..rendering import page
from ..tracked import steps

VIEWS = ("html", "text", "headers")
"""The ways to look at what a mail says."""


@dashboard.get("/messages/<id>")
def message(id: str) -> Response:
    """Everything that is known of one message."""
    outbox = runtime().outbox
    record = outbox.get(id)
    content = outbox.content(id)
    opened = None if content is None else open_message(content)
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    html = page(
        "message.html",
        record=record,
        sight=Sight(record, _pause(record, outbox.lanes()), now),
        steps=steps(record.events),
        actions=ACTIONS,
        opened=opened,
        view=_view(opened),
        dialogues=[one for one in record.events if "dialogue" in one.detail],
        now=now,
    )
    return let_frame(make_response(html), url_for(".message_html", id=id))


def _pause(record: MessageRecord, lanes: list[LaneRecord]) -> Pause | None:
    for lane in lanes:
        if lane.name == record.lane and lane.paused_by:
            return Pause(lane.reason, lane.until)
    return None


def _view(opened: Opened | None) -> str:
    """The view that was asked for, or the first that there is."""
    asked = request.args.get("view", "")
    if opened is None:
        return asked
    there = [one for one in VIEWS if getattr(opened, one)]
    return asked if asked in there else there[0]
