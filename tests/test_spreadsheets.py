"""Spreadsheets: no cell of an exported file is run, and each comes back as it was."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flask_outbox.cli import suppression_csv
from flask_outbox.delivery import State
from flask_outbox.many import report
from flask_outbox.outbox.batch_records import Failure
from flask_outbox.outbox.records import Suppression
from flask_outbox.spreadsheets import guarded, unguarded

CELLS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "''",
    "'",
    "a",
    "",
]


@pytest.mark.parametrize("cell", CELLS, ids=map(str, range(len(CELLS))))
def test_a_cell_comes_back_as_it_was(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))


def test_a_suppression_is_text_and_comes_back(tmp_path: Path) -> None:
    at = datetime(2026, 11, 29, tzinfo=UTC)
    entry = Suppression("+cmd@example.org", "-news", "=HYPERLINK(1)", "api", at)
    file = tmp_path / "list.csv"
    file.write_text("".join(suppression_csv.written([entry])), encoding="utf-8")
    _, cells = csv.reader(file.read_text(encoding="utf-8").splitlines())
    assert cells[:4] == ["'+cmd@example.org", "'-news", "'=HYPERLINK(1)", "api"]
    assert list(suppression_csv.read(file, 0.0)) == [entry]


def test_every_cell_of_a_report_is_text() -> None:
    failure = Failure(7, "M", "=cmd@example.org", State.FAILED, "\n@reply")
    _, cells = csv.reader("".join(report([failure])).splitlines(keepends=True))
    assert cells[2] == "'=cmd@example.org"
    assert cells[4] == "'\n@reply"
