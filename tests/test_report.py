"""The report of the benchmarks: figures, charts and what failed, on one page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.waiting import WAIT_SECONDS

REPORT = Path(__file__).parents[1] / "benchmarks" / "report.py"


def test_a_benchmark_is_run_and_its_figures_are_written(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    failed = {"command": ["benchmarks/wire.py"], "error": "no room"}
    (figures / "wire.json").write_text(json.dumps(failed))

    subprocess.run(
        [sys.executable, REPORT, "--quick", "--only", "compose", "--docs", tmp_path],
        check=True,
        timeout=WAIT_SECONDS,
    )

    page = (tmp_path / "figures.rst").read_text(encoding="utf-8")
    assert "python benchmarks/compose.py --quick" in page
    assert "The last run failed: ``no room``." in page
    charts = sorted(figures.glob("compose.*.svg"))
    assert len(charts) == 4
    for chart in charts:
        assert f".. image:: figures/{chart.name}" in page
        assert "Flask-Outbox" in (ElementTree.parse(chart).getroot()[0].text or "")
