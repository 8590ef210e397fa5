"""Troubles: what cannot be done or found, told on a page and not in a log."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import g, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ..errors import BatchNotFound, MessageNotFound, StoreError, TransitionRefused
from .blueprint import LET_IN, dashboard
from .rendering import page


@dashboard.errorhandler(StoreError)
def _explain(error: StoreError) -> tuple[str, int]:
    if isinstance(error, MessageNotFound):
        id = (request.view_args or {}).get("id", "")
        text = f"No message has the id {id}. It may have been pruned."
        return _page(HTTPStatus.NOT_FOUND, text), HTTPStatus.NOT_FOUND
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, BatchNotFound):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, TransitionRefused):
        status = HTTPStatus.CONFLICT
    return _page(status, str(error)), status


@dashboard.errorhandler(HTTPException)
def _say(error: HTTPException) -> Response:
    response = error.get_response()
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response.set_data(_page(status, error.description or error.name))
    return response


def _page(status: HTTPStatus, text: str) -> str:
    """What went wrong and, for whoever may look, the way to the other pages."""
    ways: dict[str, Any] = {"here": ""} if g.get(LET_IN) else {}
    may_pass = status is HTTPStatus.SERVICE_UNAVAILABLE and request.method == "GET"
    return page(
        "trouble.html",
        heading=f"{status.value} {status.phrase}",
        text=text,
        again=f"{request.script_root}{request.full_path}" if may_pass else "",
        **ways,
    )
