"""The lanes: their status, and how to pause and resume them."""

from __future__ import annotations

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import ConfigError
from ...status import lane_statuses
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role


@dashboard.get("/lanes")
@needs(Role.READ)
def lanes() -> str:
    """Every lane with its waiting messages, and why it is paused."""
    here = runtime()
    return page(
        "lanes_page.html",
        seen=here.outbox.change_marker(),
        lanes=lane_statuses(
            here.settings,
            here.outbox.overview().lanes,
            resolves=here.resolves_transports,
        ),
    )


@dashboard.post("/lanes/<name>/pause")
@needs(Role.OPERATE)
def pause(name: str) -> Response:
    """Pause a lane."""
    _refuse_unknown(name)
    reason = request.form.get("reason", "").strip()
    runtime().outbox.pause_lane_by_operator(name, reason, actor())
    return redirect(url_for(".lanes"), 303)


@dashboard.post("/lanes/<name>/resume")
@needs(Role.OPERATE)
def resume(name: str) -> Response:
    """Resume a lane that a person paused."""
    _refuse_unknown(name)
    runtime().outbox.resume_lane_by_operator(name, actor())
    return redirect(url_for(".lanes"), 303)


def _refuse_unknown(name: str) -> None:
    try:
        runtime().check_transport(name)
    except ConfigError as error:
        abort(404, str(error))
