"""How long does `mail.send()` wait for a database server, beside a bare insert?

In turns, one at a time: a hand-over, and one row inserted and committed with the driver
alone. See README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _figures import Figures, Goal
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _server import Database
from _ways import MAIL, SENDER, Absent
from flask import Flask
from sqlalchemy import make_url

import flask_outbox

ROUNDS, QUICK_ROUNDS = 5, 2
MAILS = 200
WARM_UP_MAILS = 50
SERVERS = (
    "postgresql://postgres@127.0.0.1/postgres",
    "mysql://root@127.0.0.1/mysql",
)
PACKAGES = ("Flask", "SQLAlchemy", "psycopg", "PyMySQL")
GOALS = {"postgresql": 1.8, "mysql": 2.0}
HERE = Path(__file__).resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if no server answers."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    surroundings = show_machine(options.dir, PACKAGES)
    print(f"\n{'p50 of a hand-over':20}{'ms':>8}{'bare ms':>9}   × (middle half)")
    found: dict[str, tuple[Figures, Figures]] = {}
    absent: dict[str, str] = {}
    for server in options.server or SERVERS:
        try:
            found |= measure(server, options)
        except Absent as reason:
            print(reason, file=sys.stderr)
            absent[make_url(server).get_backend_name()] = str(reason)
    goals = [
        Goal(f"{name}: send() to a bare insert", GOALS[name], sent.beside(bare))
        for name, (sent, bare) in found.items()
    ]
    report_results(options.json, surroundings, [chart(found)], goals, absent)
    return 1 if absent else 0


def chart(found: dict[str, tuple[Figures, Figures]]) -> Chart:
    """What is waited for, at each server."""
    waits = {}
    for name, (sent, bare) in found.items():
        waits[f"mail.send(), {name}"] = sent.p50 * 1e6
        waits[f"bare insert and commit, {name}"] = bare.p50 * 1e6
    ours = tuple(name for name in waits if name.startswith("mail.send()"))
    return Chart("A hand-over to a database server", "µs, median", waits, ours)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="of hand-overs and bare inserts")
    add("--mails", type=int, default=MAILS, help="in a round")
    add("--quick", action="store_true", help=f"a first look: {QUICK_ROUNDS} rounds")
    add("--server", metavar="URL", action="append", help="measure this one only")
    add("--dir", type=Path, default=HERE.parents[2], help="its disk is described")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = QUICK_ROUNDS
    return options


def measure(
    server: str, options: argparse.Namespace
) -> dict[str, tuple[Figures, Figures]]:
    """The figures of one server. Raises `Absent` if it does not answer."""
    database = Database(server, "servers")
    try:
        ways = send(database), insert(database)
        rounds = [_timed(ways, options.mails) for _ in range(options.rounds)]
        sent, bare = (Figures.of(seconds) for seconds in zip(*rounds, strict=True))
    finally:
        database.close()
    print(
        f"{database.backend:20}{sent.p50 * 1e3:8.2f}{bare.p50 * 1e3:9.2f}"
        f"{sent.beside(bare)}"
    )
    return {database.backend: (sent, bare)}


def _timed(
    ways: tuple[Callable[[], None], ...], mails: int
) -> tuple[list[float], list[float]]:
    """How long each way took, in turns, after a warm-up."""
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(WARM_UP_MAILS + mails):
        for way, taken in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            way()
            taken.append(time.perf_counter() - began)
    return seconds[0][WARM_UP_MAILS:], seconds[1][WARM_UP_MAILS:]


def send(database: Database) -> Callable[[], None]:
    """Send to an outbox there, for an external worker to deliver."""
    app = Flask(__name__)
    app.config.update(
        OUTBOX_URL=database.url.render_as_string(hide_password=False),
        OUTBOX_ENGINE="external",
        MAIL_URL="smtp://127.0.0.1:1",
        MAIL_DEFAULT_SENDER=SENDER,
    )
    mail = flask_outbox.Mail(app)
    app.test_cli_runner().invoke(args=["outbox", "init"])

    def one() -> None:
        with app.app_context():
            mail.send(flask_outbox.Message(**MAIL))

    return one


def insert(database: Database) -> Callable[[], None]:
    """Insert and commit a row of as many bytes, with the driver alone."""
    connection = _connect(database)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE bare (id VARCHAR(40) PRIMARY KEY, content TEXT)")
    connection.commit()
    ids = iter(range(sys.maxsize))
    content = "x" * 1_000

    def one() -> None:
        cursor.execute("INSERT INTO bare VALUES (%s, %s)", (str(next(ids)), content))
        connection.commit()

    return one


def _connect(database: Database) -> Any:
    url = database.url
    if database.backend == "postgresql":
        import psycopg

        return psycopg.connect(
            host=url.host, user=url.username, password=url.password, dbname=url.database
        )
    import pymysql

    return pymysql.connect(
        host=url.host,
        user=url.username,
        password=url.password or "",
        database=url.database,
    )


if __name__ == "__main__":
    sys.exit(main())
