"""The report of a batch as CSV: who did not get it, and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from ..outbox.batch_records import Failure
from ..spreadsheets import guarded

COLUMNS = ("row", "message_id", "address", "state", "reply")


def report(failures: Iterable[Failure]) -> Iterator[str]:
    """Its lines, the first of which names the columns."""
    yield _line(COLUMNS)
    for one in failures:
        yield _line((one.row, one.message_id, one.address, one.state, one.reply))


def _line(cells: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(map(guarded, cells))
    return line.getvalue()
