"""What does a courier cost a mail? Processor time and mails a second, from a backlog.

In one run and in turns: the courier, its own parts in a plain loop, and with
``--beside`` those of another checkout. See README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _checkout import run_with
from _crowds import FINISH_SECONDS, in_threads
from _figures import Figures, Goal, in_turns
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _server import Database
from _sink import HOST, Sink
from _ways import MAIL, SENDER, Absent, Failed
from flask import Flask
from sqlalchemy import make_url

import flask_outbox

ROUNDS, QUICK_ROUNDS = 5, 2
MAILS, QUICK_MAILS = 3_000, 500
CONNECTIONS = 10
AT_A_TIME = 200
"""How many messages the plain loop claims, sends and records at a time."""

PACKAGES = ("Flask", "SQLAlchemy", "uvloop", "psycopg")
HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class Drained:
    """The cost of sending a backlog; processor time is that of the courier's process
    only, without mail server and database.
    """

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Way:
    """A way to send a backlog, in its own process."""

    name: str
    what: str
    tree: Path

    def drain(self, url: str, port: int, mails: int) -> Drained:
        """Enqueue ``mails`` in the outbox at ``url`` and send them."""
        script = self.tree / "benchmarks" / HERE.name
        printed = run_with(
            self.tree,
            script if script.exists() else HERE,
            *("--drain", self.what, "--url", url, "--port", port, "--mails", mails),
        )
        return Drained(**json.loads(printed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    if options.drain:
        drained = DRAINS[options.drain](options.url, options.port, options.mails)
        print(json.dumps(vars(drained)))
        return 0
    with tempfile.TemporaryDirectory(prefix="courier-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, PACKAGES)
        try:
            drained = compare(folder, options)
        except (Absent, Failed) as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
    place = make_url(options.server).get_backend_name() if options.server else "sqlite"
    goals = [*goals_of(place, drained, options.mails)]
    charts = charts_of(place, drained, options.mails)
    report_results(options.json, surroundings, charts, goals)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="turns that each way takes")
    add("--mails", type=int, default=MAILS, help="in a turn")
    add("--quick", action="store_true", help="a first look")
    add("--beside", type=Path, metavar="CHECKOUT", help="measure that one's, too")
    add("--server", metavar="URL", help="a database server in place of SQLite")
    add("--dir", type=Path, default=HERE.parents[2], help="where the files are kept")
    add_json_option(parser)
    add("--drain", choices=DRAINS, help=argparse.SUPPRESS)
    add("--url", help=argparse.SUPPRESS)
    add("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.mails = QUICK_ROUNDS, QUICK_MAILS
    return options


def compare(folder: Path, options: argparse.Namespace) -> dict[str, list[Drained]]:
    """Let each way send a backlog in each round, in turns, and print the figures."""
    trees = {"": HERE.parents[1]}
    if options.beside:
        trees[f" of {options.beside.name}"] = options.beside.resolve()
    ways = [
        Way(f"{what}{whose}", what, tree)
        for whose, tree in trees.items()
        for what in DRAINS
        if what == "courier" or (tree / "benchmarks" / HERE.name).exists()
    ]
    drained: dict[str, list[Drained]] = {way.name: [] for way in ways}
    with Sink() as sink:
        for number in range(options.rounds):
            for way in in_turns(ways, number):
                one = _drained(way, folder, sink.port, options)
                drained[way.name].append(one)
    report(drained, options.mails)
    return drained


def _drained(way: Way, folder: Path, port: int, options: argparse.Namespace) -> Drained:
    if not options.server:
        path = folder / "outbox.db"
        try:
            return way.drain(f"sqlite:///{path}", port, options.mails)
        finally:
            for one in folder.glob("outbox.db*"):
                one.unlink()
    database = Database(options.server, "courier")
    try:
        url = database.url.render_as_string(hide_password=False)
        return way.drain(url, port, options.mails)
    finally:
        database.close()


def report(drained: dict[str, list[Drained]], mails: int) -> None:
    """Print the cost of a mail for each way, and its ratio to the first."""
    print(f"\n{mails} due mails, a server that is near, {CONNECTIONS} connections")
    print(f"{'':24}{'µs a mail':>10}{'mails/s':>9}   courier is × (middle half)")
    costs = costs_of(drained, mails)
    ours = costs["courier"]
    for name, cost in costs.items():
        rate = mails / Figures.of([[one.seconds] for one in drained[name]]).p50
        print(f"{name:24}{cost.p50 * 1e6:10.0f}{rate:9.0f}{ours.beside(cost)}")


def costs_of(drained: dict[str, list[Drained]], mails: int) -> dict[str, Figures]:
    """The processor time of a mail by each way."""
    return {
        name: Figures.of([[one.processor_seconds / mails] for one in rounds])
        for name, rounds in drained.items()
    }


GOAL_RATES = {"postgresql": 3_000.0, "mysql": 2_000.0}
"""Mails a second that a courier should send from each server."""


def goals_of(
    place: str, drained: dict[str, list[Drained]], mails: int
) -> Iterator[Goal]:
    """What a mail may cost, and how many a server should give."""
    costs = costs_of(drained, mails)
    for name, cost in costs.items():
        if name != "courier":
            limit = 0.7 if name == "parts" else 0.25
            what = f"{place}: processor time of the courier to {name}"
            yield Goal(what, limit, costs["courier"].beside(cost))
    if place in GOAL_RATES:
        rate = statistics.median(mails / one.seconds for one in drained["courier"])
        what = f"{place}: mails a second by a courier"
        yield Goal(what, GOAL_RATES[place], rate, at_least=True)


def charts_of(place: str, drained: dict[str, list[Drained]], mails: int) -> list[Chart]:
    """Processor time and rate of each way."""
    costs = {name: one.p50 * 1e6 for name, one in costs_of(drained, mails).items()}
    rates = {
        name: statistics.median(mails / one.seconds for one in rounds)
        for name, rounds in drained.items()
    }
    title = f"A courier with {mails:,} due mails, {place}"
    return [
        Chart(title, "µs of processor time a mail", costs, ("courier",)),
        Chart(title, "mails a second", rates, ("courier",)),
    ]


# ------------------------------------------------------------- in a process of its own


def drain_by_courier(url: str, port: int, mails: int) -> Drained:
    """Send a backlog as an app's courier does."""
    _fill(url, port, mails)
    mail = flask_outbox.Mail()
    app = _app(mail, url, port, "thread")
    with app.app_context():
        clock = _Clock()
        mail.start()
        if not mail.drain(FINISH_SECONDS):
            raise Failed("Mail is still in the outbox.")
        drained = clock.read()
        mail.stop()
    return drained


def drain_by_parts(url: str, port: int, mails: int) -> Drained:
    """Send a backlog with a courier's parts, in a plain loop."""
    app = _fill(url, port, mails)
    outbox = app.extensions["outbox"].runtime.outbox
    clock = _Clock()
    asyncio.run(_loop_of_parts(outbox, port, mails))
    return clock.read()


async def _loop_of_parts(outbox: Any, port: int, mails: int) -> None:
    from flask_outbox.config import SmtpSettings
    from flask_outbox.courier.attempt import Policy, attempt
    from flask_outbox.transports.smtp import SmtpTransport

    transport = SmtpTransport(SmtpSettings(HOST, port, max_connections=CONNECTIONS))
    policy = Policy(5.0, 60.0, 60.0)
    owner = "the plain loop"
    while claims := outbox.claim(owner, "default", AT_A_TIME):
        records = await asyncio.gather(
            *(
                attempt(claim, transport, policy, outbox.clock, lambda: True)
                for claim in claims
            )
        )
        if outbox.record(records).lost:
            raise Failed("A lease was lost.")
        mails -= len(claims)
    await transport.close()
    if mails:
        raise Failed(f"{mails} mails were not sent.")


def _fill(url: str, port: int, mails: int) -> Flask:
    mail = flask_outbox.Mail()
    app = _app(mail, url, port, "external")
    with app.app_context():
        if not url.startswith("sqlite"):
            app.test_cli_runner().invoke(args=["outbox", "init"])

    def send() -> None:
        with app.app_context():
            mail.send(flask_outbox.Message(**MAIL))

    in_threads(send, mails)
    return app


def _app(mail: flask_outbox.Mail, url: str, port: int, engine: str) -> Flask:
    app = Flask("benchmark")
    app.config.update(
        MAIL_URL=f"smtp://{HOST}:{port}",
        MAIL_DEFAULT_SENDER=SENDER,
        MAIL_MAX_CONNECTIONS=CONNECTIONS,
        OUTBOX_URL=url,
        OUTBOX_ENGINE=engine,
    )
    mail.init_app(app)
    return app


class _Clock:
    """The wall and processor time since it was created."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> Drained:
        began, processor_began = self._began
        return Drained(
            time.perf_counter() - began, time.process_time() - processor_began
        )


DRAINS: dict[str, Callable[[str, int, int], Drained]] = {
    "courier": drain_by_courier,
    "parts": drain_by_parts,
}

if __name__ == "__main__":
    sys.exit(main())
