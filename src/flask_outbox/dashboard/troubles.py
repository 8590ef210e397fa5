"""Troubles: what cannot be done or found, told on a page and not in a log."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ..errors import BatchNotFound, MessageNotFound, StoreError, TransitionRefused
from .blueprint import dashboard
from .rendering import page


@dashboard.errorhandler(StoreError)
def _explain(error: StoreError) -> tuple[str, int]:
    status = 503
    if isinstance(error, MessageNotFound | BatchNotFound):
        status = 404
    elif isinstance(error, TransitionRefused):
        status = 409
    return page("trouble.html", status=status, text=str(error)), status


@dashboard.errorhandler(HTTPException)
def _say(error: HTTPException) -> Response:
    response = error.get_response()
    response.set_data(
        page("trouble.html", status=error.code, text=error.description or error.name)
    )
    return response
