"""Suppressions: addresses that must not be mailed; add and remove them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import AddressError, MessageError
from ...outbox import SOURCES
from ...outbox.records import Suppression
from ...phrases import phrase
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role

ROWS = 500
"""How many are shown; ``flask outbox`` and the API list them all."""


@dashboard.get("/suppressions")
@needs(Role.READ)
def suppressions() -> str:
    """The suppressions of one address, from one source or all; a form to add one."""
    outbox = runtime().outbox
    address, source = request.args.get("address", "").strip(), _source(request.args)
    found = _suppressions_of(address) if address else outbox.suppressions(source=source)
    first = [*islice((one for one in found if source in (None, one.source)), ROWS + 1)]
    return page(
        "suppressions.html",
        found=first[:ROWS],
        more=len(first) > ROWS,
        given=address,
        source=source,
        sources=SOURCES,
    )


def _source(asked: Mapping[str, str]) -> str | None:
    source = asked.get("source")
    return source if source in SOURCES else None


def _suppressions_of(address: str) -> Iterable[Suppression]:
    """Those of ``address``; none if it is not one, but only the beginning of one."""
    try:
        return runtime().outbox.suppressions_of(address)
    except AddressError:
        return ()


@dashboard.post("/suppressions/add")
@needs(Role.OPERATE)
def suppress() -> Response:
    """Suppress an address."""
    try:
        runtime().outbox.suppress(
            request.form.get("address", "").strip(),
            list=request.form.get("list", "").strip(),
            reason=request.form.get("reason", "").strip(),
            source="person",
            actor=actor(),
        )
    except MessageError as error:
        abort(400, str(error))
    return redirect(url_for(".suppressions"), 303)


@dashboard.get("/suppressions/remove")
@needs(Role.OPERATE)
def confirm_unsuppress() -> str:
    """Ask a person to confirm that a suppression is removed."""
    address, list = request.args.get("address", ""), request.args.get("list", "")
    found = next(
        (one for one in _suppressions_of(address) if one.list == list), None
    ) or abort(404, phrase("This suppression is not there any more."))
    return page(
        "confirm_unsuppress.html",
        one=found,
        at_provider=bool(runtime().provider_lists()),
    )


@dashboard.post("/suppressions/remove")
@needs(Role.OPERATE)
def unsuppress() -> Response:
    """Remove a suppression."""
    try:
        runtime().outbox.unsuppress(
            request.form.get("address", ""),
            list=request.form.get("list", ""),
            actor=actor(),
        )
    except MessageError as error:
        abort(400, str(error))
    return redirect(url_for(".suppressions"), 303)
