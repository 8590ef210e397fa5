"""The page of metrics, for Prometheus and others that read its formats."""

from __future__ import annotations

import hmac

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.http import parse_options_header

from . import mounting
from .app_state import state_of
from .config import LOCAL
from .errors import StoreError
from .local_requests import why_remote
from .metrics import OPENMETRICS_TYPE, TEXT_TYPE, text_of

OPENMETRICS, PLAIN = "application/openmetrics-text", "text/plain"

pages: Blueprint = Blueprint(mounting.METRICS, __name__)


def mount(app: Flask, path: str) -> None:
    """Put the page at ``path``, unless the app has it.

    Raises `ConfigError` if the app has routes there; if they are added later, each
    request raises it.
    """
    mounting.mount(app, pages, path, "OUTBOX_METRICS_PATH")


@pages.get("")
def metrics() -> Response:
    """The metrics of all processes, whichever is asked."""
    if refusal := _refusal():
        return refusal
    runtime = state_of(current_app).runtime
    openmetrics = _wants_openmetrics()
    try:
        text = text_of(
            runtime.outbox,
            runtime.settings,
            runtime.webhook_statuses(),
            openmetrics=openmetrics,
        )
    except StoreError as error:
        current_app.logger.warning("The metrics cannot be read: %s", error)
        return _response("The outbox cannot be read at present.\n", 503)
    return _response(text, 200, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)


def _refusal() -> Response | None:
    """The answer to a request that may not read the metrics."""
    rule = state_of(current_app).runtime.settings.metrics
    if callable(rule):
        if rule() is True:
            return None
        return _refused("the function in OUTBOX_METRICS did not return True")
    if rule == LOCAL:
        why = why_remote()
        return _refused(f'OUTBOX_METRICS is "local", and {why}') if why else None
    return None if _has_token(rule or ()) else _asked_for_token()


def _has_token(tokens: tuple[str, ...] | str) -> bool:
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        return False
    found = [
        hmac.compare_digest(given.token.encode("utf-8", "replace"), one.encode())
        for one in tokens
    ]
    return any(found)


def _asked_for_token() -> Response:
    response = _refused("the request needs the token in OUTBOX_METRICS")
    response.status_code = 401
    response.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return response


def _wants_openmetrics() -> bool:
    """Whether the client likes OpenMetrics 1.0 at least as much as plain text."""
    wishes = {OPENMETRICS: 0.0, PLAIN: 0.0}
    for value, quality in request.accept_mimetypes:
        kind, options = parse_options_header(value)
        kind = PLAIN if kind in ("text/*", "*/*") else kind
        if kind == OPENMETRICS and options.get("version", "1.0.0") != "1.0.0":
            continue
        if kind in wishes:
            wishes[kind] = max(wishes[kind], quality)
    return wishes[OPENMETRICS] > 0 and wishes[OPENMETRICS] >= wishes[PLAIN]


def _refused(why: str) -> Response:
    return _response(f"You may not read these metrics: {why}.\n", 403)


def _response(text: str, status: int, content_type: str = TEXT_TYPE) -> Response:
    response = Response(text, status, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
