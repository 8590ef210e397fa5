"""Does the dashboard stay fast when the outbox holds a million messages?

Each page, with a thousand and with a million messages, on SQLite and PostgreSQL; and
hand-overs a second while somebody looks. See README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from _figures import Goal, Ratio, in_turns, percentile
from _filling import keep_all, message
from _machine import show_machine
from _plans import full_scans
from _results import Chart, add_json_option, report_results
from flask import Flask
from sqlalchemy import create_engine, update
from sqlalchemy.exc import OperationalError

from flask_outbox import EventKind, Mail
from flask_outbox.counters import Counters
from flask_outbox.delivery import Envelope, State
from flask_outbox.mime import compose
from flask_outbox.outbox import DAY, MINUTE, Outbox, id_at, new_id, schema, stats_row
from flask_outbox.outbox.records import NewMessage

SIZES, QUICK_SIZES = (1_000, 1_000_000), (1_000, 20_000)
ROUNDS, QUICK_ROUNDS = 100, 20
GOAL = 3.0
PEOPLE = 50_000
DAYS = 30
HAND_OVERS = 50
LOOK_SECONDS = 0.25
POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1/"
BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]

PAGES = {
    "overview": "/outbox/",
    "list": "/outbox/messages",
    "state": "/outbox/messages?is=failed",
    "tag": "/outbox/messages?tag=orders",
    "address": "/outbox/messages?q=user77@example.org",
    "beginning": "/outbox/messages?q=user77*",
    "subject": "/outbox/messages?q=order",
    "rare subject": "/outbox/messages?q=nowhere",
    "tag and state": "/outbox/messages?tag=orders&is=failed",
    "one mail": "/outbox/messages/{id}",
}
"""What is looked at; ``{id}`` is a message in the middle."""


@dataclass(frozen=True)
class Looked:
    """One page at one size, in seconds."""

    page: str
    rows: int
    p50: float
    p95: float
    full_scans: tuple[str, ...]


class Site:
    """An app with pages for whoever looks after its mail, and its outbox."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        self.app = Flask("benchmark", instance_path=str(folder))
        self.app.config.update(
            MAIL_URL="smtp://127.0.0.1:1",
            OUTBOX_URL=url,
            OUTBOX_ENGINE="external",
            **settings,
        )
        self.mail = Mail(self.app)
        self.outbox: Outbox = self.app.extensions["outbox"].runtime.outbox
        self.outbox.database.upgrade()
        self._client = self.app.test_client()

    def close(self) -> None:
        """Stop everything that it started."""
        self.mail.stop()
        self.outbox.database.close()

    def look(self, path: str) -> None:
        """Request one page, without a socket."""
        response = self._client.get(path)
        if response.status_code != 200:
            raise RuntimeError(f"{path}: {response.status}")


# ---------------------------------------------------------------------------- filling


def fill(outbox: Outbox, rows: int) -> str:
    """Fill an empty outbox with a month of mail; returns the id of one in the middle.

    One in a hundred has failed, the newest hundredth is pending, the rest was sent.
    """
    began = time.time() - DAYS * DAY
    ids = [
        id_at(began + number * DAYS * DAY / rows)[:10] + new_id()[10:]
        for number in range(rows)
    ]
    keep_all(outbox, _messages(outbox, ids))
    _finish(outbox, State.SENT, ids[rows * 99 // 100])
    _finish(outbox, State.FAILED, ids[rows // 100])
    write_stats(outbox, [""])
    with outbox.database.engine.execution_options(
        isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        connection.exec_driver_sql("ANALYZE")
    return ids[rows // 2]


def _messages(outbox: Outbox, ids: list[str]) -> Iterator[NewMessage]:
    octets = compose(message()).content
    for number, one in enumerate(ids):
        at = outbox.clock()
        address = f"user{number % PEOPLE}@example.org"
        yield NewMessage(
            id=one,
            envelope=Envelope("shop@example.com", (address,)),
            rfc_message_id=f"<{one}@example.com>",
            subject=f"Your order {number} is on its way",
            content=octets,
            enqueued_at=at,
            due_at=at,
            give_up_at=at + DAY,
            tag="orders" if number % 2 else None,
        )


def _finish(outbox: Outbox, state: State, before: str) -> None:
    """Give a state to all messages before this one, as nobody can wait for couriers."""
    table = schema.message
    with outbox.database.engine.begin() as connection:
        connection.execute(
            update(table)
            .where(table.c.id < before)
            .values(state=state.value, finished_at=table.c.enqueued_at)
        )


def write_stats(outbox: Outbox, couriers: Sequence[str]) -> None:
    """Write what each of ``couriers`` counts in a day; "" is what is merged already."""
    tally = Counters()
    tally.ended[EventKind.SENT] = 100
    for number in range(100):
        tally.waits.add(number / 10)
        tally.durations.add(number / 100)
    now = int(time.time()) // MINUTE * MINUTE
    outbox.write_stats(
        [
            dict(stats_row(at, courier, "default", tally))
            for courier in couriers
            for at in range(now - DAY, now, MINUTE)
        ]
    )


# ---------------------------------------------------------------------------- looking


def looked(site: Site, rows: int, rounds: int) -> Iterator[Looked]:
    """Request each page in turns; returns the figures of each."""
    id = fill(site.outbox, rows)
    paths = {name: path.format(id=id) for name, path in PAGES.items()}
    engine = site.outbox.database.engine
    scans = {
        name: full_scans(engine, partial(site.look, path))
        for name, path in paths.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(rounds):
        for name in in_turns(list(paths), number):
            began = time.perf_counter()
            site.look(paths[name])
            seconds[name].append(time.perf_counter() - began)
    for name, samples in seconds.items():
        yield Looked(
            name,
            rows,
            percentile(samples, 50),
            percentile(samples, 95),
            tuple(scans[name]),
        )


# ------------------------------------------------------------ sending, while one looks


def while_looking(site: Site, rounds: int) -> Ratio:
    """How much slower sending is while the overview is open."""
    alone, watched = [], []
    for number in range(rounds):
        for looking in in_turns([False, True], number):
            with _looking(site) if looking else nullcontext():
                (watched if looking else alone).append(_hand_over(site))
    ratios = [one / other for one, other in zip(watched, alone, strict=True)]
    return Ratio(*(percentile(ratios, percent) for percent in (50, 25, 75)))


def _hand_over(site: Site) -> float:
    began = time.perf_counter()
    for _ in range(HAND_OVERS):
        site.mail.send(message())
    return time.perf_counter() - began


@contextmanager
def _looking(site: Site) -> Iterator[None]:
    """Keep the overview open, which reloads after each change."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            site.look(PAGES["overview"])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


# --------------------------------------------------------------------------- databases


@contextmanager
def postgresql(name: str) -> Iterator[str]:
    """The URL of a new database, which is dropped afterwards."""
    server = create_engine(f"{POSTGRESQL}postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield POSTGRESQL + name
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


def databases(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Each available database system, with the URL of an empty database."""
    yield "SQLite", f"sqlite:///{folder / f'{name}.db'}"
    try:
        with postgresql(f"outbox_{name}") as url:
            yield "PostgreSQL", url
    except OperationalError as error:
        print(f"PostgreSQL is left out: {error.orig}")


# -------------------------------------------------------------------------- the report


def main() -> int:
    """Measure and print; returns 1 if a page failed or a whole table was read for
    it.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a first look")
    parser.add_argument("--rounds", type=int, metavar="N")
    add_json_option(parser)
    parser.add_argument("--dir", type=Path, default=BESIDE_THE_CLONE)
    options = parser.parse_args()
    sizes = QUICK_SIZES if options.quick else SIZES
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    found: dict[str, list[Looked]] = {}
    ratios: dict[str, Ratio] = {}
    with tempfile.TemporaryDirectory(prefix="dashboard-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, ("Flask", "SQLAlchemy", "psycopg"))
        for rows in sizes:
            for database, url in databases(folder, f"dashboard_{rows}"):
                site = Site(folder, url, OUTBOX_DASHBOARD=lambda: True)
                found.setdefault(database, []).extend(looked(site, rows, rounds))
                ratios[database] = while_looking(site, rounds)
                site.close()
    scans = report(found, ratios, sizes)
    goals = [*goals_of(found, ratios, sizes)]
    report_results(
        options.json,
        surroundings,
        [chart(database, pages, sizes[1]) for database, pages in found.items()],
        goals,
        pages={
            database: [asdict(one) for one in pages]
            for database, pages in found.items()
        },
    )
    return 1 if scans else 0


def report(
    found: dict[str, list[Looked]], ratios: dict[str, Ratio], sizes: tuple[int, int]
) -> list[str]:
    """Print the tables; returns the statements that read a whole table."""
    scans: list[str] = []
    small, large = sizes
    for database, pages in found.items():
        by_page = {(one.page, one.rows): one for one in pages}
        print(f"\n{database}, milliseconds a page, through the app without a socket")
        print(f"{'page':14} {small:>10,} p50   p95 {large:>12,} p50   p95  p95 ratio")
        for name in PAGES:
            one, other = by_page[name, small], by_page[name, large]
            ratio = other.p95 / one.p95
            scans += [f"{name}: {text}" for text in other.full_scans]
            print(
                f"{name:14} {one.p50 * 1e3:14.1f} {one.p95 * 1e3:5.1f} "
                f"{other.p50 * 1e3:16.1f} {other.p95 * 1e3:5.1f} {ratio:10.2f}"
            )
        print(f"hand-over while somebody looks, to one without: {ratios[database]}")
    print(f"\nStatements that read a whole table: {len(scans)}")
    for scan in scans:
        print(f"  {scan}")
    return scans


def goals_of(
    found: dict[str, list[Looked]], ratios: dict[str, Ratio], sizes: tuple[int, int]
) -> Iterator[Goal]:
    """A large outbox is about as fast, and who looks slows nobody down."""
    small, large = sizes
    for database, pages in found.items():
        p95 = {(one.page, one.rows): one.p95 for one in pages}
        worst = max(PAGES, key=lambda page: p95[page, large] / p95[page, small])
        what = f"{database}: p95 with {large:,} messages to {small:,}, {worst}"
        yield Goal(what, GOAL, p95[worst, large] / p95[worst, small])
        what = f"{database}: send() while somebody looks to without"
        yield Goal(what, 1.2, ratios[database])


def chart(database: str, pages: list[Looked], rows: int) -> Chart:
    """How long each page takes with the larger outbox."""
    times = {one.page: one.p95 * 1e3 for one in pages if one.rows == rows}
    title = f"The dashboard with {rows:,} messages, {database}"
    return Chart(title, "ms a page, p95", times, tuple(times))


if __name__ == "__main__":
    sys.exit(main())
