"""The overview: counts, lanes and couriers, and the last hours in plots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import request

from ...status import lane_statuses
from ..pages import dashboard, needs, page, runtime
from ..plots import SPANS, plots, table, time_ticks
from ..roles import Role

FATES_OF = timedelta(days=1)
"""How old the mail may be whose fates are counted."""


@dashboard.get("/")
@needs(Role.READ)
def overview() -> str:
    """Counts by state, the lanes, the couriers and the plots."""
    here = runtime()
    seen = here.outbox.change_marker()
    glance = here.outbox.overview()
    now = datetime.fromtimestamp(here.outbox.clock(), UTC)
    span = SPANS.get(request.args.get("span", ""), SPANS["hour"])
    stats = here.outbox.stats(span.since(now), span.until(now), span.buckets)
    return page(
        "overview.html",
        seen=seen,
        glance=glance,
        fates_since=f"{now - FATES_OF:%Y-%m-%dT%H:%M}",
        lanes=lane_statuses(
            here.settings, glance.lanes, resolves=here.resolves_transports
        ),
        stats=stats,
        plots=plots(stats, span),
        ticks=time_ticks(stats, span),
        rows=table(stats),
        span=span,
        spans=SPANS,
        engine=here.settings.engine,
    )
