"""The pages that tell probes whether this process works and whether it takes mail.

They need no login and no CSRF token, and say nothing about people, places or secrets.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify

from . import log, mounting
from .app_state import state_of, this_app

health: Blueprint = Blueprint("outbox_health", __name__)


def mount(app: Flask, path: str) -> None:
    """Put the pages below ``path``, unless the app has them.

    Raises `ConfigError` if the app has routes there; if they are added later, each
    request raises it.
    """
    mounting.mount(app, health, path, "OUTBOX_HEALTH_PATH")


@health.get("/live")
def live() -> Response:
    """Answer 200 unless a restart of this process would help."""
    courier = state_of(current_app).runtime.courier_health()
    return _answer(courier.well, live=courier.well, courier=courier)


@health.get("/ready")
def ready() -> Response:
    """Answer 200 if the outbox stores mail.

    A lane that is down is named and makes no difference: mail for it is taken, and
    waits. Lanes that are not in the settings are counted, since their names may be
    those of customers.
    """
    runtime = state_of(current_app).runtime
    found = runtime.readiness()
    log.note_readiness(this_app(), found.trouble)
    known = [one for one in found.lanes_down if one in runtime.settings.transports]
    return _answer(
        found.ready,
        ready=found.ready,
        outbox=found.outbox,
        lanes_down=known,
        other_lanes_down=len(found.lanes_down) - len(known),
    )


def _answer(well: bool, **facts: Any) -> Response:
    response = jsonify(facts)
    response.status_code = 200 if well else 503
    response.headers["Cache-Control"] = "no-store"
    return response
