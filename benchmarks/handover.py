"""How long does a view wait for `mail.send()`?

Measured beside a bare commit of the same bytes and the ways that people use today, in
one run and in turns. See README.md.
"""

from __future__ import annotations

import argparse
import cProfile
import logging
import pstats
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from _figures import Figures, Goal, in_turns
from _machine import show_machine
from _results import Chart, add_json_option, write_results
from _sink import Sink
from _ways import (
    Absent,
    CeleryDelay,
    Failed,
    FlaskMail,
    FlaskMailThread,
    Outbox,
    OutboxExternal,
    OutboxHanging,
    RawCommit,
    Way,
)

ROUNDS, QUICK_ROUNDS = 100, 10
WARM_UP_MAILS = 25
PROFILED_MAILS = 1_000
PROFILE_LINES = 45

RESTLESS = 1.5
"""How much the rounds of the raw commit may differ before the figures are doubtful."""

BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]
PACKAGES = ("Flask", "SQLAlchemy", "uvloop", "Flask-Mail", "celery", "redis")


@dataclass(frozen=True)
class Gait:
    """How mails follow each other, and how many each way sends in its turn."""

    name: str
    pace_seconds: float
    mails: int

    def __str__(self) -> str:
        if not self.pace_seconds:
            return f"{self.name}, {self.mails} mails in one request"
        return f"{self.name}, one request every {self.pace_seconds * 1000:.0f} ms"


GAITS = (Gait("paced", 0.020, 5), Gait("back to back", 0.0, 25))

Measured = Mapping[Gait, Mapping[str, Figures]]
"""For each gait the figures of each way, by its name."""


def main() -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options()
    # The lane of the hanging server gets paused meanwhile, which is logged.
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="handover-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, PACKAGES)
        try:
            if options.profile:
                profile(folder)
                return 0
            absent, measured = compare(folder, options.redis, options.rounds)
        except Failed as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
    goals = [goal for gait, figures in measured.items() for goal in aims(gait, figures)]
    report(measured, absent, goals)
    write_results(
        options.json,
        surroundings,
        [chart(gait, figures) for gait, figures in measured.items()],
        goals,
        absent,
        ways={
            gait.name: {name: asdict(one) for name, one in figures.items()}
            for gait, figures in measured.items()
        },
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="The peers: pip install -r requirements/bench.txt",
    )
    add = parser.add_argument
    add("--rounds", type=int, help=f"turns that each way takes, from 2 ({ROUNDS})")
    add("--quick", action="store_true", help=f"a first look: {QUICK_ROUNDS} rounds")
    add_json_option(parser)
    add(
        "--dir",
        type=Path,
        default=BESIDE_THE_CLONE,
        help="keep the files in a new folder inside this one (beside the clone)",
    )
    add(
        "--redis",
        default="redis://127.0.0.1:6379/15",
        metavar="URL",
        help="for Celery; what is kept there is removed again (%(default)s)",
    )
    add("--profile", action="store_true", help="say where mail.send() spends its time")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = QUICK_ROUNDS if options.quick else ROUNDS
    if options.rounds < 2:
        parser.error("--rounds: there is no ratio in less than two")
    return options


def compare(
    folder: Path, redis_url: str, rounds: int
) -> tuple[dict[str, str], Measured]:
    """Measure every available way; also say which are missing, and why."""
    with Sink() as sink, Sink(hanging=True) as hanging:
        kinds: dict[type[Way], Callable[[], Way]] = {
            RawCommit: lambda: RawCommit(folder),
            Outbox: lambda: Outbox(folder, sink.port),
            OutboxExternal: lambda: OutboxExternal(folder, sink.port),
            OutboxHanging: lambda: OutboxHanging(folder, hanging.port),
            FlaskMailThread: lambda: FlaskMailThread(sink.port),
            CeleryDelay: lambda: CeleryDelay(redis_url),
            FlaskMail: lambda: FlaskMail(sink.port),
        }
        with ExitStack() as stack:
            ways, absent = _open(kinds, stack)
            measured = measure(ways, rounds)
        _check_arrivals(ways, sink)
    return absent, measured


def _open(
    kinds: Mapping[type[Way], Callable[[], Way]], stack: ExitStack
) -> tuple[list[Way], dict[str, str]]:
    ways: list[Way] = []
    absent: dict[str, str] = {}
    for kind, make in kinds.items():
        try:
            way = make()
        except Absent as reason:
            absent[kind.name] = str(reason)
        else:
            stack.callback(way.close)
            ways.append(way)
    return ways, absent


def measure(ways: Sequence[Way], rounds: int) -> Measured:
    """Let each way have a stretch of each gait in each round, in turns."""
    samples: dict[Gait, dict[str, list[list[float]]]] = {
        gait: {way.name: [] for way in ways} for gait in GAITS
    }
    for way in ways:
        way.stretch(WARM_UP_MAILS, 0.0)
        way.settle()
    for number in range(rounds):
        _show_progress(f"round {number + 1} of {rounds}")
        for gait in GAITS:
            for way in in_turns(ways, number):
                taken = way.stretch(gait.mails, gait.pace_seconds)
                samples[gait][way.name].append(taken)
                way.settle()
    _show_progress("")
    return {
        gait: {name: Figures.of(taken) for name, taken in by_way.items()}
        for gait, by_way in samples.items()
    }


def _show_progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def _check_arrivals(ways: Sequence[Way], sink: Sink) -> None:
    taken = sink.close()
    due = sum(way.handed_over for way in ways if way.arrives)
    if taken != due:
        raise Failed(f"{due} mails were handed over and {taken} arrived.")


def aims(gait: Gait, figures: Mapping[str, Figures]) -> Iterator[Goal]:
    """The goals of the hand-over at one pace."""
    send = figures[Outbox.name]
    raw, hanging = figures[RawCommit.name], figures[OutboxHanging.name]
    celery = figures.get(CeleryDelay.name)
    to_celery = send.beside(celery) if celery else None
    most = 1.8 if gait.pace_seconds else 3.0
    external = figures[OutboxExternal.name]
    yield Goal(f"{gait.name}: mail.send() to the raw commit", most, send.beside(raw))
    yield Goal(
        f"{gait.name}: mail.send(), another process delivers, to the raw commit",
        min(most, 2.8),
        external.beside(raw),
    )
    yield Goal(f"{gait.name}: mail.send() to Celery .delay()", 1.0, to_celery)
    yield Goal(f"{gait.name}: server hanging to well", 1.2, hanging.beside(send))


def report(
    measured: Measured, absent: Mapping[str, str], goals: Sequence[Goal]
) -> None:
    """Print the tables, what is not in them and why, and the goals."""
    for gait, figures in measured.items():
        raw = figures[RawCommit.name]
        print(f"\n{gait}: {raw.samples} mails each way")
        print(f"{'':41}{'p50 µs':>8}{'p99 µs':>9}{'× raw':>8}   (middle half)")
        for name, one in figures.items():
            print(f"{name:41}{_us(one.p50):8}{_us(one.p99):9}{one.beside(raw)}")
        if raw.unrest > RESTLESS:
            print("The machine or its disk is busy with something else: measure again.")
    for name, reason in absent.items():
        print(f"\nnot measured: {name}: {reason}")
    print("\ngoals")
    for goal in goals:
        print(goal)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def chart(gait: Gait, figures: Mapping[str, Figures]) -> Chart:
    """The waits at one pace."""
    ours = tuple(name for name in figures if name.startswith("mail.send()"))
    waits = {name: one.p50 * 1e6 for name, one in figures.items()}
    return Chart(f"A view waits, {gait}", "µs, median", waits, ours)


def profile(folder: Path) -> None:
    """Profile the view's thread, back to back."""
    with Sink() as sink, closing(Outbox(folder, sink.port)) as way:
        way.stretch(WARM_UP_MAILS, 0.0)
        way.settle()
        profiler = cProfile.Profile()
        profiler.runcall(way.stretch, PROFILED_MAILS, 0.0)
        way.settle()
    for order in ("cumulative", "tottime"):
        pstats.Stats(profiler).sort_stats(order).print_stats(PROFILE_LINES)


if __name__ == "__main__":
    sys.exit(main())
