"""What does a mail cost the database: transactions, log, disk and connections?

On PostgreSQL and SQLite, for the hand-over and for the delivery by themselves. See
README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from _crowds import FINISH_SECONDS, HANDING_OVER_THREADS, in_threads
from _machine import show_machine
from _results import Chart, add_json_option, write_results
from _server import Database
from _sink import Sink
from _ways import MAIL, SENDER, Absent, Failed
from flask import Flask
from sqlalchemy import create_engine, make_url

import flask_outbox

MAILS, QUICK_MAILS = 5_000, 500
PACKAGES = ("Flask", "SQLAlchemy", "psycopg")
DAY = 86_400.0

DISK = "What a mail adds to the disk"
COSTS = (
    ("What a mail takes", "transactions a mail"),
    ("What a mail adds to the log", "bytes a mail"),
    (DISK, "bytes a mail"),
)
"""The title and unit of a chart of each statistic of `Reading`."""


@dataclass(frozen=True)
class Reading:
    """The database's statistics: in total, or between two moments."""

    transactions: int | None
    log_bytes: int | None
    disk_bytes: int

    def since(self, before: Reading) -> Reading:
        """The difference between ``before`` and this."""
        pairs = zip(self, before, strict=True)
        return Reading(
            *(None if a is None or b is None else a - b for a, b in pairs)  # type: ignore[arg-type]
        )

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.transactions, self.log_bytes, self.disk_bytes))


class Place(ABC):
    """An outbox's database, read from outside of the outbox."""

    name: str
    url: str

    @abstractmethod
    def read(self) -> Reading:
        """The statistics so far."""

    @abstractmethod
    def connections(self) -> int | None:
        """How many connections are open, without ours."""

    @abstractmethod
    def tidy(self) -> None:
        """Free the disk space of deleted rows."""

    @abstractmethod
    def close(self) -> None:
        """Remove the database."""


class PostgreSQL(Place):
    """A database of its own; transactions and log are the whole server's."""

    name = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self._database = Database(server, "footprint")
        self.url = self._database.url.render_as_string(hide_password=False)
        self._engine = create_engine(self.url, isolation_level="AUTOCOMMIT")

    def read(self) -> Reading:
        return Reading(
            self._ask("pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
            self._ask("(pg_current_wal_insert_lsn() - '0/0')::bigint"),
            self._ask(
                "sum(pg_total_relation_size(oid))::bigint from pg_class "
                "where relkind = 'r' and starts_with(relname, 'outbox')"
            ),
        )

    def connections(self) -> int | None:
        return self._ask(
            "count(*) from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid()"
        )

    def tidy(self) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("VACUUM FULL")

    def close(self) -> None:
        self._engine.dispose()
        self._database.close()

    def _ask(self, what: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql(f"SELECT {what}").scalar_one())


class SQLite(Place):
    """A file; its log is empty after a checkpoint."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "footprint.db"
        self.url = f"sqlite:///{self._path}"

    def read(self) -> Reading:
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        return Reading(None, None, self._path.stat().st_size)

    def connections(self) -> int | None:
        return None

    def tidy(self) -> None:
        self._run("VACUUM")

    def close(self) -> None:
        self._path.unlink()

    def _run(self, statement: str) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


class House:
    """An app on a place, once as a sender only and once with a courier."""

    def __init__(self, url: str, port: int) -> None:
        self._sender = self._app(url, port, "external")
        self._courier = self._app(url, port, "thread")
        if make_url(url).get_backend_name() != "sqlite":
            with self._sender.app_context():
                self._sender.test_cli_runner().invoke(args=["outbox", "init"])

    def hand_over(self, mails: int, threads: int = HANDING_OVER_THREADS) -> None:
        """Send this many; nothing delivers them."""
        in_threads(self._send_one, mails, threads)

    def deliver(self) -> None:
        """Deliver all pending messages; the courier waits for more until `stop`."""
        with self._courier.app_context():
            mail = flask_outbox.Mail()
            mail.start()
            if not mail.drain(FINISH_SECONDS):
                raise Failed("Mail is still in the outbox.")

    def stop(self) -> None:
        """End the courier, which writes down the last it knows."""
        with self._courier.app_context():
            flask_outbox.Mail().stop()

    def prune_bodies(self) -> None:
        """Prune the content of all finished messages."""
        self._courier.extensions["outbox"].runtime.outbox.prune(0.0, DAY)

    def close(self) -> None:
        for app in (self._sender, self._courier):
            app.extensions["outbox"].runtime.outbox.database.close()

    def _send_one(self) -> None:
        with self._sender.app_context():
            flask_outbox.Mail().send(flask_outbox.Message(**MAIL))

    @staticmethod
    def _app(url: str, port: int, engine: str) -> Flask:
        app = Flask("benchmark")
        app.config.update(
            MAIL_URL=f"smtp://127.0.0.1:{port}",
            MAIL_DEFAULT_SENDER=SENDER,
            OUTBOX_URL=url,
            OUTBOX_ENGINE=engine,
        )
        flask_outbox.Mail(app)
        return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="footprint-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, PACKAGES)
        print(f"\nper mail, of {options.mails:,} with text and HTML for one recipient")
        print(f"{'':28}{'transactions':>13}{'log bytes':>11}{'disk bytes':>12}")
        charts: list[Chart] = []
        absent: dict[str, str] = {}
        for make in (lambda: PostgreSQL(options.postgresql), lambda: SQLite(folder)):
            try:
                place = make()
            except Absent as reason:
                print(f"not measured: {reason}")
                absent["PostgreSQL"] = str(reason)
                continue
            with closing(place):
                try:
                    charts += measure(place, options.mails)
                except Failed as failure:
                    print(f"\nFailed: {failure}", file=sys.stderr)
                    return 1
    write_results(options.json, surroundings, charts, not_measured=absent)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--mails", type=int, default=MAILS, help="how many to share the cost")
    add("--quick", action="store_true", help=f"a first look: {QUICK_MAILS} mails")
    add("--dir", type=Path, default=Path(__file__).resolve().parents[2])
    add("--postgresql", default="postgresql://127.0.0.1/postgres", metavar="URL")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.mails = QUICK_MAILS
    return options


def measure(place: Place, mails: int) -> list[Chart]:
    """Print the cost of one mail, phase by phase, and return it."""
    with Sink() as sink:
        house = House(place.url, sink.port)
        house.hand_over(1)
        house.deliver()
        house.stop()
        place.tidy()
        empty = place.read()
        house.hand_over(mails, threads=1)
        alone = place.read()
        house.deliver()
        house.stop()
        place.tidy()
        before = place.read()
        house.hand_over(mails)
        handed_over = place.read()
        house.deliver()
        open_connections = place.connections()
        house.stop()
        delivered = place.read()
        house.prune_bodies()
        place.tidy()
        pruned = place.read()
        house.close()
    print(place.name)
    _print("  hand-over, one by one", alone.since(empty), mails)
    _print("  hand-over, 8 at a time", handed_over.since(before), mails)
    _print("  delivery, 10 at a time", delivered.since(handed_over), mails)
    kept = (pruned.disk_bytes - empty.disk_bytes) / (2 * mails)
    print(f"{'  kept, without the body':28}{'':13}{'':11}{kept:12,.0f}")
    if open_connections is not None:
        print(f"  connections: {open_connections} of a sender and a courier")
    phases = {
        "handed over one by one": alone.since(empty),
        "handed over 8 at a time": handed_over.since(before),
        "delivered": delivered.since(handed_over),
    }
    charts = []
    for (title, unit), *costs in zip(COSTS, *phases.values(), strict=True):
        if None in costs:
            continue
        values = {
            phase: each / mails for phase, each in zip(phases, costs, strict=True)
        }
        if title == DISK:
            values["kept, without the body"] = kept
        charts.append(Chart(f"{title}, {place.name}", unit, values, tuple(values)))
    return charts


def _print(what: str, reading: Reading, mails: int) -> None:
    transactions = reading.transactions
    log = reading.log_bytes
    print(
        f"{what:28}"
        f"{'-' if transactions is None else f'{transactions / mails:.2f}':>13}"
        f"{'-' if log is None else f'{log / mails:,.0f}':>11}"
        f"{reading.disk_bytes / mails:12,.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
