"""Suppressions: addresses that must not be mailed, and a person's changes to them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import MessageError
from ..blueprint import dashboard, runtime
from ..rendering import page

ROWS = 500
"""How many are shown; ``flask outbox`` and the API list them all."""


@dashboard.get("/suppressions")
def suppressions() -> str:
    """The list, and a form for another address, filled in with what is asked."""
    outbox = runtime().outbox
    found = list(islice(outbox.suppressions(), ROWS + 1))
    return page(
        "suppressions.html",
        found=found[:ROWS],
        more=len(found) > ROWS,
        given=request.args.get("address", ""),
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


@dashboard.post("/suppressions/add")
def suppress() -> Response:
    """Let an address have no more mail."""
    try:
        runtime().outbox.suppress(
            request.form.get("address", "").strip(),
            list=request.form.get("list", "").strip(),
            reason=request.form.get("reason", "").strip(),
            source="person",
        )
    except MessageError as error:
        abort(400, str(error))
    return redirect(url_for(".suppressions"), 303)


@dashboard.post("/suppressions/remove")
def unsuppress() -> Response:
    """Let an address have mail again."""
    try:
        runtime().outbox.unsuppress(
            request.form.get("address", ""), list=request.form.get("list", "")
        )
    except MessageError as error:
        abort(400, str(error))
    return redirect(url_for(".suppressions"), 303)
