"""What does `import flask_outbox` cost a process, beside the frameworks below it?

Each import has a process of its own, and counts by its processor time. See README.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from _figures import Figures, Goal, in_turns
from _machine import machine
from _results import Chart, add_json_option, write_results

ROUNDS, QUICK_ROUNDS = 25, 7

BASE = "import flask, sqlalchemy"
IMPORTED = "import flask_outbox"
IN_USE = "the same, and an app's first use of its outbox"

WAYS = {
    BASE: "import flask, sqlalchemy",
    IMPORTED: "import flask_outbox",
    IN_USE: """
import tempfile, flask, flask_outbox
app = flask.Flask("shop", instance_path=tempfile.mkdtemp())
app.testing = True
mail = flask_outbox.Mail(app)
with app.app_context():
    mail.send_message("Hello", ["ada@example.org"], "Hi", sender="shop@example.com")
""",
}
"""What is measured: name → statements."""

TIMED = """
import time
began = time.process_time()
{}
print(time.process_time() - began)
"""


def measure(statements: str) -> float:
    """The processor time of ``statements`` in a new process, without its start.

    The process may keep bytecode, whatever this one's environment says: otherwise it
    would compile our modules, but not the installed ones.
    """
    environment = os.environ.copy()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statements)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout)


def run(rounds: int) -> Mapping[str, Figures]:
    """The figures of each way, taken in turns."""
    samples: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for number in range(-1, rounds):  # the first round writes the bytecode
        for name in in_turns(list(WAYS), number):
            seconds = measure(WAYS[name])
            if number >= 0:
                samples[name].append([seconds, seconds])
    return {name: Figures.of(found) for name, found in samples.items()}


def report(figures: Mapping[str, Figures]) -> None:
    """Print the table."""
    base = figures[BASE]
    print(f"{'':50}{'ms, median':>12}   {'to the first'}")
    for name, one in figures.items():
        print(f"{name:50}{one.p50 * 1e3:12.0f}   {one.beside(base)}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="turns to take (%(default)s)")
    add("--quick", action="store_true", help="a first look")
    add_json_option(parser)
    options = parser.parse_args()
    figures = run(QUICK_ROUNDS if options.quick else options.rounds)
    report(figures)
    ratio = figures[IMPORTED].beside(figures[BASE])
    goal = Goal(f"{IMPORTED} to {BASE}", 1.3, ratio)
    print(f"\n{goal}")
    costs = {name: one.p50 * 1e3 for name, one in figures.items()}
    unit = "ms of processor time, median"
    chart = Chart("The start of a process", unit, costs, (IMPORTED, IN_USE))
    surroundings = machine(Path.cwd(), ("Flask", "SQLAlchemy"))
    write_results(options.json, surroundings, [chart], [goal])
    return 0


if __name__ == "__main__":
    sys.exit(main())
