"""All messages that match a search, as a file: streamed, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, abort, request

from ...humanize import csv_lines
from ...outbox import Outbox, id_at
from ...outbox.records import Act, MessageSummary, Search
from ...phrases import phrase
from ..filters import LABELS, read_filters
from ..pages import actor, dashboard, expensive, needs, runtime
from ..roles import Role
from ..security import protect_file

AT_ONCE = 500
"""How many messages are in memory at a time."""

Pages = Iterator[Sequence[MessageSummary]]
Write = Callable[[Pages], Iterable[str]]


@dashboard.get("/messages.csv")
@needs(Role.READ)
@expensive
def export_csv() -> Response:
    """The messages as CSV, whose cells no spreadsheet runs."""
    return _export("csv", "text/csv", _csv)


@dashboard.get("/messages.json")
@needs(Role.READ)
@expensive
def export_json() -> Response:
    """The messages as one JSON array."""
    return _export("json", "application/json", _json)


def _export(kind: str, mimetype: str, write: Write) -> Response:
    outbox = runtime().outbox
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    chosen = read_filters(request.args, now, encrypted=outbox.encrypted)
    for field, why in chosen.wrong.items():
        abort(
            400,
            phrase(
                "%(field)s: %(why)s Go back and change it.",
                field=LABELS[field],
                why=why,
            ),
        )
    line = outbox.trail.note(
        actor(), Act.EXPORT_MESSAGES, note=f"{kind}, {chosen.note}", many=0
    )
    pages = _pages(outbox, chosen.search, id_at(now.timestamp()))

    def counted() -> Pages:
        for page in pages:
            outbox.trail.count(line, len(page))
            yield page

    response = Response(write(counted()), mimetype=mimetype)
    name = f"mail-{now:%Y-%m-%d-%H%M}.{kind}"
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return protect_file(response)


def _pages(outbox: Outbox, wanted: Search, before: str | None) -> Pages:
    while before:
        page = outbox.search(wanted, AT_ONCE, before=before)
        if page.messages:
            yield page.messages
        before = page.older


def _document(one: MessageSummary) -> dict[str, Any]:
    return {
        "id": one.id,
        "enqueued_at": one.enqueued_at.isoformat(),
        "due_at": one.due_at.isoformat(),
        "state": one.state,
        "fate": one.fate,
        "recipients": list(one.recipients),
        "sent": one.sent,
        "reply": one.reply,
        "attempts": one.attempts,
        "lane": one.lane,
        "tag": one.tag,
        "subject": one.subject,
    }


COLUMNS = (
    "id", "enqueued_at", "due_at", "state", "fate", "recipients", "sent", "reply",
    "attempts", "lane", "tag", "subject",
)  # fmt: skip
"""The columns of a CSV file, and the names in a JSON file."""


def _csv(pages: Pages) -> Iterator[str]:
    yield csv_lines([COLUMNS])
    for page in pages:
        yield csv_lines(_cells(_document(one)) for one in page)


def _cells(document: dict[str, Any]) -> list[object]:
    document["recipients"] = " ".join(document["recipients"])
    return ["" if one is None else one for one in document.values()]


def _json(pages: Pages) -> Iterator[str]:
    before = "[\n"
    for page in pages:
        yield before + ",\n".join(
            json.dumps(_document(one), ensure_ascii=False) for one in page
        )
        before = ",\n"
    yield "\n]\n" if before != "[\n" else "[]\n"
