"""The overview: the outbox at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from flask import request

from ...standing import standings
from ..blueprint import dashboard, runtime
from ..plots import plots
from ..rendering import page

SPANS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
"""How far back the plots go."""

BEATS: Mapping[str, int] = {"hour": 60, "day": 96, "week": 84}
"""How many parts they have: of a minute, a quarter of an hour, two hours."""


@dashboard.get("/")
def overview() -> str:
    """What waits and what became of the rest, the lanes and the couriers."""
    here = runtime()
    seen = here.outbox.news()
    glance = here.outbox.glance()
    now = datetime.fromtimestamp(here.outbox.clock(), UTC)
    span = request.args.get("span", "")
    span = span if span in SPANS else "hour"
    pulse = here.outbox.pulse(now - SPANS[span], now, BEATS[span])
    return page(
        "overview.html",
        seen=seen,
        glance=glance,
        lanes=standings(here.settings, glance.lanes),
        pulse=pulse,
        plots=plots(pulse),
        span=span,
        spans=list(SPANS),
        engine=here.settings.engine,
        now=now,
    )
