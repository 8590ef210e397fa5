"""What a benchmark found, in the form that `report.py` reads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _figures import Goal


@dataclass(frozen=True)
class Chart:
    """Values that are compared with each other, by their names."""

    title: str
    unit: str
    values: Mapping[str, float]
    ours: tuple[str, ...] = ()
    """The names of what is Flask-Outbox."""


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``, where `write_results` writes."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write what was measured to FILE"
    )


def write_results(
    file: Path | None,
    machine: Mapping[str, str],
    charts: Sequence[Chart],
    goals: Sequence[Goal] = (),
    not_measured: Mapping[str, str] | None = None,
    **figures: Any,
) -> None:
    """Write everything as JSON, with all ``figures``; nothing without a ``file``."""
    if file is None:
        return
    results = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine,
        "charts": [asdict(one) for one in charts],
        "goals": [one.as_json() for one in goals],
        "not_measured": not_measured or {},
        "figures": figures,
    }
    text = json.dumps(results, indent=2, ensure_ascii=False, default=str)
    file.write_text(f"{text}\n", encoding="utf-8")


def report_results(
    file: Path | None,
    machine: Mapping[str, str],
    charts: Sequence[Chart],
    goals: Sequence[Goal],
    not_measured: Mapping[str, str] | None = None,
    **figures: Any,
) -> None:
    """Print the goals, and write everything as `write_results` does."""
    print("\ngoals", *goals, sep="\n")
    write_results(file, machine, charts, goals, not_measured, **figures)
