"""Batches: their progress and failures, and how to pause or cancel them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from flask import Response, abort, redirect, request, stream_with_context, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...actions import BATCH_ACTIONS, BatchAction
from ...delivery import State
from ...feedback.fate import in_order
from ...outbox import is_id
from ...outbox.records import BatchRecord, BatchState
from ...phrases import phrase
from ...sending.batch import failures_csv
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role
from ..security import protect_file

ROWS = 50
"""How many batches are on one page."""

FAILURES = 20
"""How many failures are shown; the report has them all."""


@dashboard.get("/batches")
@needs(Role.READ)
def batches() -> str:
    """The newest batches."""
    outbox = runtime().outbox
    seen = outbox.change_marker()
    before = request.args.get("before", "")
    found = runtime().batches.newest(ROWS + 1, before if is_id(before) else None)
    return page(
        "batches.html",
        seen=seen,
        found=found[:ROWS],
        older=found[ROWS - 1].id if len(found) > ROWS else None,
    )


@dashboard.get("/batches/<id>")
@needs(Role.READ)
def batch(id: str) -> str:
    """One batch: its progress and its failures."""
    outbox, store = runtime().outbox, runtime().batches
    seen = outbox.change_marker()
    record = store.get(id)
    failures = list(islice(store.failures(id), FAILURES + 1))
    return page(
        "batch.html",
        seen=seen,
        record=record,
        fates=in_order(record.fates),
        failures=failures[:FAILURES],
        more=len(failures) > FAILURES,
        actions={name: BATCH_ACTIONS[name] for name in _offered(record)},
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


def _offered(record: BatchRecord) -> Iterator[str]:
    """The actions on the batch, by name."""
    if record.state in (BatchState.CANCELLED, BatchState.DONE):
        return
    paused = record.state is BatchState.PAUSED
    if not paused:
        yield "pause"
    if paused or record.counts.get(State.PAUSED):
        yield "resume"
    yield "cancel"


@dashboard.get("/batches/<id>/act")
@needs(Role.OPERATE)
def confirm_batch(id: str) -> str:
    """Ask a person to confirm the action."""
    name = request.args.get("action", "")
    return page(
        "confirm_batch.html",
        name=name,
        action=_action(name),
        record=runtime().batches.get(id),
    )


@dashboard.post("/batches/<id>/act")
@needs(Role.OPERATE)
def act_on_batch(id: str) -> AnyResponse:
    """Carry the action out."""
    _action(request.form.get("action", "")).do(runtime(), id, actor())
    return redirect(url_for(".batch", id=id), 303)


@dashboard.get("/batches/<id>/report.csv")
@needs(Role.READ)
def batch_report(id: str) -> Response:
    """All failures as CSV, streamed."""
    store = runtime().batches
    store.get(id)
    lines = stream_with_context(failures_csv(store.failures(id)))
    response = Response(lines, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=f"{id}.csv")
    return protect_file(response)


def _action(name: str) -> BatchAction:
    if name not in BATCH_ACTIONS:
        abort(400, phrase("There is no batch action %(name)s.", name=repr(name)))
    return BATCH_ACTIONS[name]
