"""The overview: the outbox at a glance."""

from __future__ import annotations

from datetime import UTC, datetime

from ...standing import standings
from ..blueprint import dashboard, runtime
from ..rendering import page


@dashboard.get("/")
def overview() -> str:
    """What waits and what became of the rest, the lanes and the couriers."""
    here = runtime()
    seen = here.outbox.news()
    glance = here.outbox.glance()
    return page(
        "overview.html",
        seen=seen,
        glance=glance,
        lanes=standings(here.settings, glance.lanes),
        place=here.outbox.database.shown,
        engine=here.settings.engine,
        now=datetime.fromtimestamp(here.outbox.clock(), UTC),
    )
