"""One message: its story, why it was sent, to whom, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from flask import Response, make_response, request

from ...outbox.records import LaneRecord, MessageRecord
from ...picture import Pause, Sight
from ..actions import ACTIONS
from ..blueprint import dashboard, runtime
from ..headers import let_frame
from ..rendering import page
from ..said import Places, said
from ..tracked import steps


@dashboard.get("/messages/<id>")
def message(id: str) -> Response:
    """Everything that is known of one message."""
    outbox = runtime().outbox
    record = outbox.get(id)
    content = outbox.content(id)
    places = Places("message", id=id)
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    html = page(
        "message.html",
        record=record,
        sight=Sight(record, _pause(record, outbox.paused_lanes()), now),
        steps=steps(record.events),
        actions=ACTIONS,
        said=content and said(content, request.args, record.tag),
        places=places,
        dialogues=[one for one in record.events if "dialogue" in one.detail],
        now=now,
    )
    return let_frame(make_response(html), places.html())


def _pause(record: MessageRecord, lanes: Sequence[LaneRecord]) -> Pause | None:
    for lane in lanes:
        if lane.name == record.lane and lane.paused_by:
            return Pause(lane.reason, lane.until)
    return None
