"""The report of a batch as CSV: who did not get it, and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from ..outbox.batch_records import Failure

COLUMNS = ("row", "message_id", "address", "state", "reply")

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""Whatever begins so, a spreadsheet takes for a formula: servers say what they like."""


def report(failures: Iterable[Failure]) -> Iterator[str]:
    """Its lines, the first of which names the columns."""
    yield _line(COLUMNS)
    for one in failures:
        reply = f"'{one.reply}" if one.reply.startswith(FORMULAS) else one.reply
        yield _line((one.row, one.message_id, one.address, one.state, reply))


def _line(cells: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
