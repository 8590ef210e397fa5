"""The blueprint that every page hangs on, guarded as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import Blueprint, abort, current_app, g, request
from werkzeug.wrappers import Response

from ..outbox.ids import is_id
from ..outbox.records import Receipt
from ..runtime import Runtime
from . import access, forms, headers

NAME = "flask_outbox"

LET_IN = "outbox_let_in"
"""What a request has in ``g`` once it is known that whoever sent it may look."""

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


View = TypeVar("View", bound=Callable[..., object])

_costly: set[str] = set()


def costs(view: View) -> View:
    """Have only the dashboard's own pages lead to ``view``: looking at it runs the
    app's code, or takes what there is little of.
    """
    _costly.add(f"{NAME}.{view.__name__}")
    return view


@dashboard.before_request
def _guard() -> Response | None:
    answer = access.refuse_strangers(runtime().settings.dashboard)
    if answer is not None:
        return answer
    setattr(g, LET_IN, True)
    forms.refuse_forged_changes()
    forms.refuse_foreign_reads(
        costly=request.endpoint in _costly or "images" in request.args
    )
    id = (request.view_args or {}).get("id")
    if id is not None and not is_id(id):
        abort(404, f"{id!r} is not the id of a message.")
    return None


dashboard.after_request(forms.keep_secret)
dashboard.after_request(headers.protect)
