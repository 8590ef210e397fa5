"""How many mails a second does each engine send, and how long does a view wait?

Beside them Celery with Flask-Mail, a task for each mail; in one run and in turns. See
README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from _crowds import CeleryCrowd, Crowd, Maker, open_crowds, time_crowds
from _delay import Delay
from _engines import EngineCrowd, celery_worker, external
from _figures import Figures, Goal, in_turns
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _server import Database
from _sink import Sink
from _ways import Failed

ROUNDS, QUICK_ROUNDS, QUICK_FAR_MAILS = 5, 2, 50
PACKAGES = ("Flask", "SQLAlchemy", "psycopg", "uvloop", "celery", "Flask-Mail")
FAR_SECONDS = 0.050
CONNECTIONS = 200
"""As many as one courier may open to the distant server."""

PACED_MAILS, PACE_SECONDS = 100, 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        surroundings = show_machine(Path(folder), PACKAGES)
    try:
        near = compare(options, 0.0, options.mails)
        far = compare(options, FAR_SECONDS, options.far_mails)
    except Failed as failure:
        print(f"\nFailed: {failure}", file=sys.stderr)
        return 1
    goals = [*goals_of("near", near, 5.0), *goals_of("50 ms away", far, 6.0)]
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
    add("--postgresql", default="postgresql://127.0.0.1/postgres", metavar="URL")
    add("--redis", default="redis://127.0.0.1:6379/15", metavar="URL")
    add("--rabbitmq", default="amqp://guest:guest@127.0.0.1:5672//", metavar="URL")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.far_mails = QUICK_ROUNDS, QUICK_FAR_MAILS
    return options


def compare(options: argparse.Namespace, away: float, mails: int) -> dict[str, Figures]:
    """Measure every available way, and print the results."""
    print(f"\n{mails} mails, a server {away * 1000:.0f} ms away")
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        far = away > 0
        port = stack.enter_context(Delay(sink.port, away)).port if far else sink.port
        crowds = open_crowds(_makers(options, far=far), port, stack)
        together = time_crowds(crowds, options.rounds, mails)
        engines = [crowd for crowd in crowds if isinstance(crowd, EngineCrowd)]
        paced = _waits(engines, options.rounds)
    _report(together, paced, mails)
    return together


def _makers(options: argparse.Namespace, *, far: bool) -> list[Maker]:
    limits = (
        {"MAIL_MAX_CONNECTIONS": CONNECTIONS, "OUTBOX_CONCURRENCY": CONNECTIONS}
        if far
        else {}
    )

    def engine(name: str, kind: str, *worker: str, broker: str | None = None) -> Maker:
        def make(port: int) -> Crowd:
            label = "".join(one for one in name.lower() if one.isalnum())
            config = {**limits, "OUTBOX_ENGINE": kind}
            if broker is not None:
                queue = f"outbox-benchmark-{label}"
                config["CELERY"] = {"broker_url": broker, "task_default_queue": queue}
            database = Database(options.postgresql, label)
            return EngineCrowd(name, database, port, config, worker)

        return make

    def peer(name: str, pool: str, concurrency: int, broker: str) -> Maker:
        def make(port: int) -> Crowd:
            crowd = CeleryCrowd(options.redis, port, pool, concurrency, broker)
            crowd.name = name
            return crowd

        return make

    redis, rabbitmq = options.redis, options.rabbitmq
    workers = celery_worker(2)
    return [
        engine("thread", "thread"),
        engine("external, 1 process", "external", *external(1)),
        engine("external, 2 processes", "external", *external(2)),
        engine("celery on Redis", "celery", *workers, broker=redis),
        engine("celery on RabbitMQ", "celery", *workers, broker=rabbitmq),
        peer("Celery + Flask-Mail, Redis", "prefork", 2, redis),
        *(
            [peer("the same, 100 threads", "threads", 100, redis)]
            if far
            else [peer("Celery + Flask-Mail, RabbitMQ", "prefork", 2, rabbitmq)]
        ),
    ]


def _waits(crowds: Sequence[EngineCrowd], rounds: int) -> dict[str, Figures]:
    """How long a view waits for each, a mail every so often, in turns."""
    samples: dict[str, list[list[float]]] = {crowd.name: [] for crowd in crowds}
    for number in range(rounds):
        for crowd in in_turns(crowds, number):
            samples[crowd.name].append(_paced(crowd))
            crowd.settle()
    return {name: Figures.of(taken) for name, taken in samples.items()}


def _paced(crowd: EngineCrowd) -> list[float]:
    taken = []
    for _ in range(PACED_MAILS):
        next_at = time.perf_counter() + PACE_SECONDS
        taken.append(crowd.hand_over())
        time.sleep(max(0.0, next_at - time.perf_counter()))
    return taken


def _report(
    together: dict[str, Figures], paced: dict[str, Figures], mails: int
) -> None:
    """Print mails a second, and the waits."""
    print(f"{'':32}{'mails/s':>8}{'p50 µs':>9}{'p99 µs':>9}   hand-over, paced")
    for name, one in together.items():
        waits = paced.get(name)
        shown = f"{waits.p50 * 1e6:9.0f}{waits.p99 * 1e6:9.0f}" if waits else ""
        print(f"{name:32}{mails / one.p50:8.0f}{shown}")


def _is_peer(name: str) -> bool:
    return name.startswith(("Celery", "the same"))


def goals_of(where: str, together: dict[str, Figures], times: float) -> list[Goal]:
    """Our Celery engine beside the usual tasks."""
    return [
        Goal(
            f"{where}: {ours}, times as fast as {peer}",
            times,
            together[peer].beside(together[ours]),
            at_least=True,
        )
        for ours in together
        if ours.startswith("celery on")
        for peer in filter(_is_peer, together)
    ]


def chart_of(where: str, together: dict[str, Figures], mails: int) -> Chart:
    """Mails a second by each engine."""
    rates = {name: mails / one.p50 for name, one in together.items()}
    ours = tuple(name for name in rates if not _is_peer(name))
    title = f"The engines, {mails:,} mails, {where}"
    return Chart(title, "mails a second", rates, ours)


if __name__ == "__main__":
    sys.exit(main())
