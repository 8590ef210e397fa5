"""What the page shows, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from flask_outbox.picture import Sight
from flask_outbox.story import Event

from .smtp import Arrival

ARRIVALS = 12
"""How many arrived mails the page lists."""

Json = dict[str, Any]


def story(sight: Sight) -> Json:
    """One message with its way and its execution table."""
    record = sight.record
    return {
        **summary(sight),
        "message_id": record.message_id,
        "answered": sight.answered,
        "stages": [asdict(stage) for stage in sight.stages],
        "rows": [_row(event, record.events[0].at) for event in record.events],
    }


def summary(sight: Sight) -> Json:
    """One line of the list of messages."""
    return {
        "id": sight.record.id,
        "subject": sight.record.subject,
        "state": sight.record.state,
        "standing": sight.standing,
        "unfinished": sight.unfinished,
    }


def arrivals(arrived: Iterable[Arrival]) -> list[Json]:
    """The latest arrivals, the newest first; ``again`` marks what had come before."""
    seen: set[str] = set()
    listed = []
    for one in arrived:
        listed.append(
            {
                "number": one.number,
                "at": one.at.isoformat(),
                "subject": one.subject,
                "message_id": one.message_id,
                "again": one.message_id in seen,
            }
        )
        seen.add(one.message_id)
    return listed[: -ARRIVALS - 1 : -1]


def after(passed: timedelta) -> str:
    """A time, counted from a beginning: "+12 ms"."""
    seconds = passed.total_seconds()
    return f"+{seconds * 1000:.0f} ms" if seconds < 10 else f"+{seconds:.1f} s"


def _row(event: Event, beginning: datetime) -> Json:
    return {
        "step": event.step,
        "after": after(event.at - beginning),
        "what": event.what,
        "background": event.background,
        "request": event.request,
        "output": event.output,
    }
