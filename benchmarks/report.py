"""Runs the benchmarks, and writes their figures into the documentation.

Each runs in a process of its own. The page is written anew after each, so that a run
that is ended early, or a benchmark that fails, loses nothing. See README.md.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _results import Chart
from _svg import draw

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
SECONDS = 300
"""How long one benchmark may take."""


@dataclass(frozen=True)
class Run:
    """One run of a benchmark, with arguments by which all take about 20 minutes."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()

    def command(self, *, quick: bool) -> list[str]:
        """What to type, from the clone's folder."""
        arguments = ("--quick", *self._always) if quick else self.arguments
        return [f"benchmarks/{self.script}.py", *arguments]

    @property
    def _always(self) -> tuple[str, ...]:
        """The arguments that also a quick run needs."""
        return self.arguments if "--server" in self.arguments else ()


POSTGRESQL = "postgresql://postgres@127.0.0.1/postgres"
MARIADB = "mysql://root@127.0.0.1/mysql"

RUNS = (
    Run("handover", "handover", ("--rounds", "40")),
    Run(
        "durability",
        "durability",
        ("--rounds", "8", "--backlog", "1000", "100000"),
    ),
    Run("servers", "servers"),
    Run("latency", "latency", ("--rounds", "3")),
    Run("courier", "courier", ("--rounds", "3")),
    Run("courier-postgresql", "courier", ("--server", POSTGRESQL)),
    Run("courier-mariadb", "courier", ("--server", MARIADB)),
    Run("endtoend", "endtoend", ("--rounds", "2", "--far-mails", "200")),
    Run("engines", "engines", ("--rounds", "2", "--far-mails", "200")),
    Run("wire", "wire", ("--rounds", "5")),
    Run("api", "api"),
    Run("lanes", "lanes", ("--rounds", "3")),
    Run("render", "render", ("--rounds", "3")),
    Run("many", "many", ("--mails", "20000", "--fewer", "2000")),
    Run("compose", "compose", ("--rounds", "20")),
    Run("signing", "signing", ("--rounds", "20")),
    Run("dashboard", "dashboard", ("--quick",)),
    Run("metrics", "metrics"),
    Run("traces", "traces"),
    Run("footprint", "footprint"),
    Run("imports", "imports"),
    Run("trip", "trip"),
)

Results = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write and say what failed; returns 1 if anything did."""
    options = _options(arguments)
    folder = options.docs / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for run in RUNS:
        if not options.only or run.name in options.only:
            began = time.monotonic()
            results = measure(run, quick=options.quick)
            store(run, results, folder)
            write_page(options.docs)
            what = results.get("error", "done")
            print(f"{run.name:20}{time.monotonic() - began:6.0f} s  {what}", flush=True)
            failed += [run.name] if "error" in results else []
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add(
        "--only",
        action="append",
        metavar="NAME",
        choices=[run.name for run in RUNS],
        help="run this one, and keep the figures of the others; may be repeated",
    )
    add("--quick", action="store_true", help="a first look: few rounds")
    add("--docs", type=Path, default=DOCS, help="where figures.rst is written")
    return parser.parse_args(arguments)


# ------------------------------------------------------------------------- measuring


def measure(run: Run, *, quick: bool) -> Results:
    """What the benchmark found; of one that failed, the ``error``."""
    command = run.command(quick=quick)
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        file = Path(folder) / "results.json"
        error = _execute([*command, "--json", str(file)])
        if not file.exists():
            return {"command": command, "error": error or "it wrote no figures"}
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {
        "command": command,
        "quick": quick,
        "date": found["date"],
        "machine": {
            key: value for key, value in found["machine"].items() if key != "files"
        },
        "charts": found["charts"],
        "goals": found["goals"],
        "not_measured": found["not_measured"],
    }


def _execute(command: Sequence[str]) -> str | None:
    """Run a script; returns the last line of its errors if it failed."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=HERE.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"it took more than {SECONDS} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its servers and workers, too
        process.wait()
    if not process.returncode:
        return None
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {process.returncode}"


# --------------------------------------------------------------------------- writing


def store(run: Run, results: Results, folder: Path) -> None:
    """Write the results and the charts of a run, in place of those of an earlier one.

    One that failed leaves the earlier one as it is, and notes its error beside it.
    """
    file = folder / f"{run.name}.json"
    if "error" in results and file.exists():
        results = {**json.loads(file.read_text(encoding="utf-8")), **results}
    elif "error" not in results:
        for old in folder.glob(f"{run.name}.[0-9]*.svg"):
            old.unlink()
        for number, chart in enumerate(results["charts"]):
            place = folder / f"{run.name}.{number}.svg"
            place.write_text(draw(Chart(**chart)), encoding="utf-8")
    text = json.dumps(results, indent=1, ensure_ascii=False)
    file.write_text(f"{text}\n", encoding="utf-8")


INTRODUCTION = """\
..
   Written by benchmarks/report.py: do not edit.

Figures
=======

Each figure was measured by a script in ``benchmarks``, whose README says what it does
and how to set it up. Read the ratios: times depend on the machine, and above all on its
disk. Of each ratio, the median of all rounds is given, and the range of the middle
half. Where the time goes is in :doc:`performance`.

``python benchmarks/report.py`` runs all of them and writes this page; with ``--only
NAME`` it runs one, and with ``--quick`` each for a first look.
"""


def write_page(docs: Path) -> None:
    """Write ``figures.rst`` from all stored results."""
    sections = [INTRODUCTION]
    for run in RUNS:
        file = docs / "figures" / f"{run.name}.json"
        if file.exists():
            results = json.loads(file.read_text(encoding="utf-8"))
            sections.append("\n".join(_section(run, results)))
    page = "\n".join(sections)
    (docs / "figures.rst").write_text(page, encoding="utf-8")


def _section(run: Run, results: Results) -> Iterator[str]:
    title = f"{run.name}: {_question(run.script)}"
    yield f"{title}\n{'-' * len(title)}\n"
    yield f"::\n\n   python {' '.join(results['command'])}\n"
    if "error" in results:
        yield f"The last run failed: ``{results['error']}``.\n"
    if "charts" not in results:
        return
    machine, quick = results["machine"], " A quick run." if results["quick"] else ""
    facts = [f"{key} {machine[key]}" for key in ("sync", "load") if key in machine]
    yield (
        f"{results['date']}, {machine['CPU']}, Python {machine['Python']}, "
        f"{', '.join(facts)}. {machine['packages']}.{quick}\n"
    )
    for number, chart in enumerate(results["charts"]):
        yield f".. image:: figures/{run.name}.{number}.svg"
        yield f"   :alt: {chart['title']}, {chart['unit']}\n"
    if results["goals"]:
        yield ".. list-table::\n   :header-rows: 1\n   :widths: auto\n"
        yield "   * - goal\n     -\n     - found\n     - middle half\n     -"
        yield from map(_goal, results["goals"])
        yield ""
    for name, reason in results["not_measured"].items():
        yield f"Not measured: {name}: {reason}\n"


def _goal(goal: Mapping[str, Any]) -> str:
    value = "-" if goal["value"] is None else f"{goal['value']:,.2f}"
    half = goal["middle_half"]
    cells = [
        goal["what"],
        f"{goal['bound']} {goal['limit']:g}",
        value,
        f"{half[0]:.2f} … {half[1]:.2f}" if half else "",
        f"*{goal['verdict']}*",
    ]
    return "   * - " + "\n     - ".join(cells)


def _question(script: str) -> str:
    """The first line of a script's docstring."""
    tree = ast.parse((HERE / f"{script}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0].replace("`", "")


if __name__ == "__main__":
    sys.exit(main())
