"""Batches: how what was sent to many stands, and a person's stopping of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from flask import Response, abort, redirect, request, stream_with_context, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...delivery import State
from ...many import Batches, report
from ...outbox.batch_records import BatchRecord, BatchState
from ...outbox.ids import is_id
from ..blueprint import dashboard, runtime
from ..headers import as_file
from ..rendering import page

ROWS = 50
"""How many batches are on one page."""

FAILURES = 20
"""How many failures are shown; the report has them all."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done to a batch."""

    name: str
    warning: str
    do: Callable[[Batches, str], None]


ACTIONS: Mapping[str, Action] = {
    "pause": Action(
        "Pause",
        "Nothing of it leaves any more, on any machine, until it is resumed. What a "
        "courier has in hand is finished.",
        Batches.pause,
    ),
    "resume": Action(
        "Resume",
        "What waits of it leaves again, in its turn.",
        Batches.resume,
    ),
    "cancel": Action(
        "Cancel",
        "What has not left of it never will. That cannot be undone.",
        Batches.cancel,
    ),
}


@dashboard.get("/batches")
def batches() -> str:
    """The newest batches."""
    outbox = runtime().outbox
    seen = outbox.news()
    before = request.args.get("before", "")
    found = runtime().batches.ledger.newest(ROWS + 1, before if is_id(before) else None)
    return page(
        "batches.html",
        seen=seen,
        found=found[:ROWS],
        older=found[ROWS - 1].id if len(found) > ROWS else None,
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


@dashboard.get("/batches/<id>")
def batch(id: str) -> str:
    """One batch: how far it is, and who did not get it."""
    outbox, ledger = runtime().outbox, runtime().batches.ledger
    seen = outbox.news()
    record = ledger.get(id)
    failures = list(islice(ledger.failures(id), FAILURES + 1))
    return page(
        "batch.html",
        seen=seen,
        record=record,
        failures=failures[:FAILURES],
        more=len(failures) > FAILURES,
        actions={name: ACTIONS[name] for name in _offered(record)},
        now=datetime.fromtimestamp(outbox.clock(), UTC),
    )


def _offered(record: BatchRecord) -> Iterator[str]:
    """What can be done to it, by name."""
    if record.state in (BatchState.CANCELLED, BatchState.DONE):
        return
    paused = record.state is BatchState.PAUSED
    if not paused:
        yield "pause"
    if paused or record.counts.get(State.PAUSED):
        yield "resume"
    yield "cancel"


@dashboard.get("/batches/<id>/act")
def confirm_batch(id: str) -> str:
    """Ask whether it shall be done."""
    name = request.args.get("action", "")
    return page(
        "confirm_batch.html",
        name=name,
        action=_action(name),
        record=runtime().batches.ledger.get(id),
    )


@dashboard.post("/batches/<id>/act")
def act_on_batch(id: str) -> AnyResponse:
    """Do it."""
    _action(request.form.get("action", "")).do(runtime().batches, id)
    return redirect(url_for(".batch", id=id), 303)


@dashboard.get("/batches/<id>/report.csv")
def batch_report(id: str) -> Response:
    """Everyone who did not get it, as a file that is written as it is read."""
    ledger = runtime().batches.ledger
    ledger.get(id)
    lines = stream_with_context(report(ledger.failures(id)))
    response = Response(lines, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=f"{id}.csv")
    return as_file(response)


def _action(name: str) -> Action:
    if name not in ACTIONS:
        abort(400, f"There is nothing called {name!r} to be done to a batch.")
    return ACTIONS[name]
