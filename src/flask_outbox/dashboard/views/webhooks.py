"""The webhook endpoints: what they were told, and what a person may do."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import ConfigError
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role

ROWS = 50
"""How many webhooks are shown of an endpoint."""

DAY_SECONDS = 86_400.0


@dashboard.get("/webhooks")
@needs(Role.READ)
def webhooks() -> str:
    """Every endpoint, and why it is paused."""
    here = runtime()
    return page(
        "webhooks.html",
        endpoints=here.webhook_statuses(),
    )


@dashboard.get("/webhooks/<name>")
@needs(Role.READ)
def webhook_endpoint(name: str) -> str:
    """An endpoint and its webhooks: those that failed, wait and are done."""
    _refuse_unknown(name)
    here = runtime()
    (endpoint,) = [one for one in here.webhook_statuses() if one.name == name]
    return page(
        "webhook_endpoint.html",
        endpoint=endpoint,
        found=here.webhooks.webhooks(name, ROWS),
        most=ROWS,
        now=datetime.fromtimestamp(here.outbox.clock(), UTC),
    )


@dashboard.post("/webhooks/<name>/pause")
@needs(Role.OPERATE)
def pause_webhooks(name: str) -> Response:
    """Pause an endpoint."""
    _refuse_unknown(name)
    runtime().webhooks.pause(name, request.form.get("reason", "").strip(), actor())
    return _back(name)


@dashboard.post("/webhooks/<name>/resume")
@needs(Role.OPERATE)
def resume_webhooks(name: str) -> Response:
    """End any pause of an endpoint."""
    _refuse_unknown(name)
    runtime().webhooks.resume(name, actor())
    return _back(name)


@dashboard.post("/webhooks/<name>/replay")
@needs(Role.OPERATE)
def replay_webhooks(name: str) -> Response:
    """Send again what failed, or all of the last day."""
    _refuse_unknown(name)
    here = runtime()
    day = request.form.get("which") == "day"
    since = here.outbox.clock() - DAY_SECONDS if day else None
    here.webhooks.replay(name, here.settings.webhook_give_up_after, since, actor())
    return _back(name)


@dashboard.post("/webhooks/<name>/test")
@needs(Role.OPERATE)
def test_webhooks(name: str) -> Response:
    """Have a courier send a webhook that only tries the endpoint."""
    _refuse_unknown(name)
    here = runtime()
    here.webhooks.add_test(name, here.settings.webhook_give_up_after, actor())
    return _back(name)


def _back(name: str) -> Response:
    return redirect(url_for(".webhook_endpoint", name=name), 303)


def _refuse_unknown(name: str) -> None:
    try:
        runtime().check_webhook_endpoint(name)
    except ConfigError as error:
        abort(404, str(error))
