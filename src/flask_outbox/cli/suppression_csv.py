"""Suppressions as CSV: written whole, and read line by line, each fault by its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from ..errors import MessageError
from ..outbox import suppressions
from ..outbox.records import Suppression
from ..spreadsheets import guarded, unguarded
from .csv_file import Fault, Unreadable, opened

COLUMNS = ("address", "list", "reason", "source", "added_at")


def written(entries: Iterable[Suppression]) -> Iterator[str]:
    """The lines of the file, the first of which names the columns."""
    yield _line(COLUMNS)
    for one in entries:
        yield _line(
            (one.address, one.list, one.reason, one.source, one.added_at.isoformat())
        )


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(map(guarded, cells))
    return line.getvalue()


def read(path: Path, now: float) -> Iterator[Suppression | Fault]:
    """What each line says, or what is wrong with it.

    Where a line does not say since when, it is since ``now``. Raises `Unreadable`.
    """
    with opened(path) as reader:
        _check_columns(reader)
        for row in reader:
            yield _read_row(row, reader.line_num, now)


def _check_columns(reader: csv.DictReader[str]) -> None:
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    unknown = [name for name in columns if name not in COLUMNS]
    if "address" not in columns or unknown or len({*columns}) < len(columns):
        raise Unreadable(
            f"its first line names the columns {', '.join(columns) or '(none)'}: it "
            f"needs address, and may have {', '.join(COLUMNS[1:])}, each once and "
            "separated by commas."
        )
    reader.fieldnames = columns


def _read_row(
    row: Mapping[str | None, str | None], line: int, now: float
) -> Suppression | Fault:
    if None in row:
        return Fault(f"line {line:,}", "it has more cells than there are columns.")
    cells = {name: unguarded((row.get(name) or "").strip()) for name in COLUMNS}
    try:
        return suppressions.entry(
            cells["address"],
            cells["list"],
            cells["reason"],
            cells["source"] or "import",
            _moment(cells["added_at"]) or now,
        )
    except MessageError as error:
        return Fault(f"line {line:,}", str(error))


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise MessageError(
        "added_at",
        f"{text!r} is no time with a zone; write it as 2026-11-24T09:30:05+00:00.",
    )
