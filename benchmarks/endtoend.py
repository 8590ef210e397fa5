"""How many mails a second go from the hand-over to *sent*?

Measured beside the ways that people use today, in one run and in turns, with a mail
server that is near and with one that is 50 ms away. See README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from _crowds import (
    CeleryCrowd,
    FlaskMailCrowd,
    Maker,
    OutboxCrowd,
    PoolCrowd,
    ThreadCrowd,
    open_crowds,
    time_crowds,
)
from _delay import Delay
from _figures import Figures, Goal
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _sink import Sink
from _ways import Failed

ROUNDS, QUICK_ROUNDS, QUICK_FAR_MAILS = 5, 2, 50
PACKAGES = ("Flask", "SQLAlchemy", "uvloop", "Flask-Mail", "celery", "redis")
FAR_SECONDS = 0.050
CONNECTIONS = 200
"""As many as Flask-Outbox may open to the distant server."""

TIMES_THE_BEST, TIMES_CELERY = 6.0, 10.0
BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="endtoend-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, PACKAGES)
        try:
            near = compare(folder, options, 0.0, options.mails)
            far = compare(folder, options, FAR_SECONDS, options.far_mails)
        except Failed as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
    goals = [*goals_of("near", near), *goals_of("50 ms away", far)]
    charts = [
        chart_of("a server that is near", near, options.mails),
        chart_of("a server 50 ms away", far, options.far_mails),
    ]
    report_results(options.json, surroundings, charts, goals)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="turns that each way takes")
    add("--quick", action="store_true", help=f"a first look: {QUICK_ROUNDS} rounds")
    add("--mails", type=int, default=1_000, help="in a turn, to the near server")
    add("--far-mails", type=int, default=400, help="in a turn, to the far server")
    add("--dir", type=Path, default=BESIDE_THE_CLONE, help="where the files are kept")
    add("--redis", default="redis://127.0.0.1:6379/15", metavar="URL")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.far_mails = QUICK_ROUNDS, QUICK_FAR_MAILS
    return options


def compare(
    folder: Path, options: argparse.Namespace, away: float, mails: int
) -> dict[str, Figures]:
    """Measure every available way, and print the results."""
    far = away > 0
    makers: list[Maker] = [
        lambda port: OutboxCrowd(
            folder,
            port,
            **({"MAIL_MAX_CONNECTIONS": CONNECTIONS} if far else {}),
            **({"OUTBOX_CONCURRENCY": CONNECTIONS} if far else {}),
        ),
        ThreadCrowd,
        PoolCrowd,
        lambda port: CeleryCrowd(options.redis, port, "prefork", 2),
        *(
            [lambda port: CeleryCrowd(options.redis, port, "threads", 100)]
            if far
            else []
        ),
        *([] if far else [FlaskMailCrowd]),
    ]
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        port = stack.enter_context(Delay(sink.port, away)).port if far else sink.port
        crowds = open_crowds(makers, port, stack)
        seconds = time_crowds(crowds, options.rounds, mails)
    print(f"\n{mails} mails, a server {away * 1000:.0f} ms away")
    report(seconds, mails)
    return seconds


def report(seconds: dict[str, Figures], mails: int) -> None:
    """Print mails per second, and their ratio to each peer's."""
    ours = seconds[OutboxCrowd.name]
    print(f"{'':28}{'mails/s':>8}   mail.send() is × (middle half)")
    for name, one in seconds.items():
        print(f"{name:28}{mails / one.p50:8.0f}{one.beside(ours)}")


def goals_of(where: str, seconds: dict[str, Figures]) -> list[Goal]:
    """To be faster than the best of the others, and than Celery."""
    ours = seconds[OutboxCrowd.name]
    peers = {name: one for name, one in seconds.items() if one is not ours}
    best = min(peers, key=lambda name: peers[name].p50)
    aims = [(f"the best of the others, {best}", TIMES_THE_BEST, peers[best])]
    aims += [
        (name, TIMES_CELERY, one)
        for name, one in peers.items()
        if name.startswith("Celery")
    ]
    return [
        Goal(
            f"{where}: times as fast as {name}", limit, one.beside(ours), at_least=True
        )
        for name, limit, one in aims
    ]


def chart_of(where: str, seconds: dict[str, Figures], mails: int) -> Chart:
    """Mails a second by each way."""
    rates = {name: mails / one.p50 for name, one in seconds.items()}
    title = f"From send() to sent, {mails:,} mails, {where}"
    return Chart(title, "mails a second", rates, (OutboxCrowd.name,))


if __name__ == "__main__":
    sys.exit(main())
