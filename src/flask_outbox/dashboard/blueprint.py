"""The blueprint that every page hangs on, guarded as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, abort, current_app, request

from ..outbox.ids import is_id
from ..outbox.records import Receipt
from ..runtime import Runtime
from . import access, forms, headers

NAME = "flask_outbox"

dashboard = Blueprint(NAME, __name__, static_folder="static")
"""Each page module adds its routes. What guards them is asked here for all of them, so
that none can be forgotten."""


def runtime() -> Runtime:
    """The runtime of the app that is asked."""
    found: Runtime = current_app.extensions["outbox"].runtime
    return found


def send_again(
    id: str, *, by: str | None = None, to: Sequence[str] | None = None
) -> Receipt:
    """Send what a finished message said once more: the story tells by which request."""
    receipt: Receipt = current_app.extensions["outbox"].send_again(id, by=by, to=to)
    return receipt


@dashboard.before_request
def _guard() -> None:
    access.refuse_strangers(runtime().settings.dashboard)
    forms.refuse_forged_changes()
    id = (request.view_args or {}).get("id")
    if id is not None and not is_id(id):
        abort(404, f"{id!r} is not the id of a message.")


dashboard.after_request(forms.keep_secret)
dashboard.after_request(headers.protect)
