"""The lanes: how each one stands, and a person's pause of it."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...config import listed
from ...standing import standings
from ..blueprint import dashboard, runtime
from ..rendering import page


@dashboard.get("/lanes")
def lanes() -> str:
    """Every lane, what waits on it, and why which one is paused."""
    here = runtime()
    return page(
        "lanes_page.html",
        seen=here.outbox.news(),
        lanes=standings(here.settings, here.outbox.glance().lanes),
        now=datetime.fromtimestamp(here.outbox.clock(), UTC),
    )


@dashboard.post("/lanes/<name>/pause")
def pause(name: str) -> Response:
    """Let nothing leave by a lane until it is resumed."""
    _refuse_unknown(name)
    runtime().outbox.hold_lane(name, request.form.get("reason", "").strip())
    return redirect(url_for(".lanes"), 303)


@dashboard.post("/lanes/<name>/resume")
def resume(name: str) -> Response:
    """End the pause that a person made."""
    _refuse_unknown(name)
    runtime().outbox.let_lane_go(name)
    return redirect(url_for(".lanes"), 303)


def _refuse_unknown(name: str) -> None:
    known = runtime().settings.transports
    if name not in known:
        abort(404, f"There is no lane {name!r}: this app has {listed(known)}.")
