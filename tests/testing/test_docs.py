"""``docs/testing.rst``: the tests that it shows."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.testing.running import TestRun

DOCS = Path(__file__).parents[2] / "docs"


def test_each_documented_test_passes(tmp_path: Path):
    run = TestRun(shutil.copytree(DOCS / "testing", tmp_path / "shop"))
    assert run.outcomes == {"passed": 7}, run.printed


def test_each_file_is_shown_in_the_documentation():
    page = (DOCS / "testing.rst").read_text()
    for file in (DOCS / "testing").glob("*.py"):
        assert f".. literalinclude:: testing/{file.name}\n" in page
