"""How soon does a mail leave? From the return of ``send()`` until the server has it.

One mail at a time from an app that is idle otherwise, with a server that is near. With
``--beside`` the same of another checkout, in turns. See README.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _checkout import run_with
from _figures import Figures, Goal, in_turns
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _sink import Sink
from _ways import Failed, Outbox

ROUNDS, QUICK_ROUNDS = 5, 2
MAILS = 200
WARM_UP_MAILS = 10
PACKAGES = ("Flask", "SQLAlchemy", "uvloop")
HERE = Path(__file__).resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    if options.folder:
        print(json.dumps(seconds_of(options.folder, options.mails)))
        return 0
    surroundings = show_machine(options.dir, PACKAGES)
    try:
        figures = compare(options)
    except Failed as failure:
        print(f"\nFailed: {failure}", file=sys.stderr)
        return 1
    ours = figures["mail.send()"]
    goals = [
        Goal("ms from send() to the server, median", 5.0, ours.p50 * 1e3),
        Goal("ms from send() to the server, p99", 20.0, ours.p99 * 1e3),
    ]
    report_results(options.json, surroundings, charts(figures), goals)
    return 0


def charts(figures: dict[str, Figures]) -> list[Chart]:
    """The median and the slowest."""
    title = "From send() in an idle app until the server has the mail"
    return [
        Chart(
            title,
            f"ms, {name}",
            {way: getattr(one, name) * 1e3 for way, one in figures.items()},
            ("mail.send()",),
        )
        for name in ("p50", "p99")
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="turns that each checkout takes")
    add("--mails", type=int, default=MAILS, help="in a turn")
    add("--quick", action="store_true", help=f"a first look: {QUICK_ROUNDS} rounds")
    add("--beside", type=Path, metavar="CHECKOUT", help="measure that one's, too")
    add("--dir", type=Path, default=HERE.parents[2], help="where the files are kept")
    add_json_option(parser)
    add("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = QUICK_ROUNDS
    return options


def compare(options: argparse.Namespace) -> dict[str, Figures]:
    """Let each checkout send in each round, in turns, and print the figures."""
    trees = {"mail.send()": HERE.parents[1]}
    if options.beside:
        trees[f"that of {options.beside.name}"] = options.beside.resolve()
    seconds: dict[str, list[list[float]]] = {name: [] for name in trees}
    for number in range(options.rounds):
        for name in in_turns([*trees], number):
            seconds[name].append(_in_a_process_of_its_own(trees[name], options))
    figures = {name: Figures.of(rounds) for name, rounds in seconds.items()}
    print(
        f"\n{'from send() to the server':28}{'p50 ms':>8}{'p99 ms':>8}"
        "   × (middle half)"
    )
    for name, one in figures.items():
        ratio = figures["mail.send()"].beside(one)
        print(f"{name:28}{one.p50 * 1e3:8.2f}{one.p99 * 1e3:8.2f}{ratio}")
    return figures


def _in_a_process_of_its_own(tree: Path, options: argparse.Namespace) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="latency-", dir=options.dir) as folder:
        printed = run_with(tree, HERE, "--folder", folder, "--mails", options.mails)
    return [float(one) for one in json.loads(printed)]


def seconds_of(folder: Path, mails: int) -> list[float]:
    """How long each of ``mails`` takes to reach the server after ``send``."""
    with Sink() as sink:
        way = Outbox(folder, sink.port)
        returned_at = [_send_one(way) for _ in range(WARM_UP_MAILS + mails)]
        way.close()
        taken_at = sink.taken_at()
    if len(taken_at) != len(returned_at):
        raise Failed(f"{len(returned_at)} mails were sent and {len(taken_at)} arrived.")
    pairs = zip(taken_at, returned_at, strict=True)
    return [taken - returned for taken, returned in pairs][WARM_UP_MAILS:]


def _send_one(way: Outbox) -> float:
    """When `send` returned; the app is idle again after this."""
    with way.app.app_context():
        way.hand_over(way.compose())
        returned_at = time.monotonic()
        way.settle()
    return returned_at


if __name__ == "__main__":
    sys.exit(main())
