"""Spreadsheets: no cell of an exported file is run, and each comes back as it was."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flask_outbox.cli.suppressions import read, written
from flask_outbox.delivery import State
from flask_outbox.humanize import guarded, unguarded
from flask_outbox.outbox.records import Failure, Suppression
from flask_outbox.sending.batch import failures_csv

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
def test_a_guarded_cell_is_restored(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))


def test_an_exported_suppression_is_text_and_can_be_imported(tmp_path: Path) -> None:
    at = datetime(2026, 11, 29, tzinfo=UTC)
    entry = Suppression("+cmd@example.org", "-news", "=HYPERLINK(1)", "api", at)
    file = tmp_path / "list.csv"
    file.write_text("".join(written([entry])), encoding="utf-8")
    _, cells = csv.reader(file.read_text(encoding="utf-8").splitlines())
    assert cells[:4] == ["'+cmd@example.org", "'-news", "'=HYPERLINK(1)", "api"]
    assert list(read(file, 0.0)) == [entry]


def test_every_cell_of_a_report_is_text() -> None:
    failure = Failure(7, "M", "=cmd@example.org", State.FAILED, "\n@reply")
    _, cells = csv.reader("".join(failures_csv([failure])).splitlines(keepends=True))
    assert cells[2] == "'=cmd@example.org"
    assert cells[4] == "'\n@reply"
