"""Are the metrics read as fast when the outbox holds a million messages?

The page of metrics, with a thousand and with a million messages that are finished or
that wait, on SQLite and PostgreSQL. See README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _figures import Goal, percentile
from _machine import show_machine
from _results import Chart, add_json_option, report_results

from dashboard import BESIDE_THE_CLONE, Site, databases, write_stats
from flask_outbox.feedback import Fate
from flask_outbox.outbox import DAY, Outbox, id_at, new_id, schema

SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 20_000)
ROUNDS, QUICK_ROUNDS = 100, 20
GOAL_SECONDS = 0.05
AT_ONCE = 10_000
DAYS = 30
COURIERS = ("01COURIER00000000000000000", "01OTHERCOURIER000000000000")
PAGE = "/outbox/metrics"
FINISHED, WAITING = "finished", "waiting"


@dataclass(frozen=True)
class Scraped:
    """How long the page takes with so many messages, in seconds."""

    rows: int
    messages: str
    p50: float
    p95: float


# ---------------------------------------------------------------------------- filling


def fill(outbox: Outbox, rows: int, *, waiting: bool) -> None:
    """Fill an empty outbox with a month of mail, its reports and its statistics.

    Of the finished mail a hundredth waits; with ``waiting`` all of it does.
    """
    with outbox.database.engine.begin() as connection:
        for chunk in _chunks(_messages(rows, waiting=waiting)):
            connection.execute(schema.message.insert(), chunk)
        for chunk in _chunks(_reports(rows // 10)):
            connection.execute(schema.feedback.insert(), chunk)
    write_stats(outbox, COURIERS)  # an hour of it is not merged yet
    outbox.prune(90 * DAY, 90 * DAY)
    with outbox.database.engine.execution_options(
        isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        vacuum = "VACUUM ANALYZE" if connection.dialect.name != "sqlite" else "ANALYZE"
        connection.exec_driver_sql(vacuum)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _times(rows: int) -> Iterator[float]:
    began = time.time() - DAYS * DAY
    return (began + number * DAYS * DAY / rows for number in range(rows))


def _messages(rows: int, *, waiting: bool) -> Iterator[dict[str, Any]]:
    for number, at in enumerate(_times(rows)):
        pending = waiting or number >= rows * 99 // 100
        state = "failed" if number % 100 == 0 else "sent"
        one = id_at(at)[:10] + new_id()[10:]
        yield {
            "id": one,
            "state": "pending" if pending else state,
            "due_at": at,
            "priority": 0,
            "lane": "default",
            "queue": "",
            "attempts": 0 if pending else 1,
            "crashes": 0,
            "lease_token": 0,
            "begun": 0,
            "tag": "orders" if number % 2 else None,
            "rfc_message_id": f"<{one}@example.com>",
            "return_path": "shop@example.com",
            "subject": f"Your order {number} is on its way",
            "size_bytes": 1_000,
            "enqueued_at": at,
            "give_up_at": at + DAY,
            "finished_at": None if pending else at,
        }


def _reports(rows: int) -> Iterator[dict[str, Any]]:
    for number, at in enumerate(_times(rows)):
        yield {
            "id": id_at(at)[:10] + new_id()[10:],
            "source": "postmark",
            "event_id": str(number),
            "received_at": at,
            "at": at,
            "fate": (Fate.BOUNCED if number % 50 == 0 else Fate.DELIVERED).value,
            "operator": 0,
        }


# --------------------------------------------------------------------------- measuring


def scraped(site: Site, rows: int, messages: str, rounds: int) -> Scraped:
    """Fill the outbox, and read its metrics ``rounds`` times."""
    fill(site.outbox, rows, waiting=messages == WAITING)
    site.look(PAGE)
    samples = []
    for _ in range(rounds):
        began = time.perf_counter()
        site.look(PAGE)
        samples.append(time.perf_counter() - began)
    return Scraped(rows, messages, percentile(samples, 50), percentile(samples, 95))


# -------------------------------------------------------------------------- the report


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a first look")
    parser.add_argument("--rounds", type=int, metavar="N")
    add_json_option(parser)
    parser.add_argument("--dir", type=Path, default=BESIDE_THE_CLONE)
    options = parser.parse_args()
    sizes = QUICK_SIZES if options.quick else SIZES
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    found: dict[str, list[Scraped]] = {}
    with tempfile.TemporaryDirectory(prefix="metrics-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, ("Flask", "SQLAlchemy", "psycopg"))
        for messages in (FINISHED, WAITING):
            for rows in sizes:
                for database, url in databases(folder, f"metrics_{messages}_{rows}"):
                    site = Site(folder, url, OUTBOX_METRICS="local")
                    one = scraped(site, rows, messages, rounds)
                    found.setdefault(database, []).append(one)
                    site.close()
                    print(
                        f"{database:10} {rows:>9,} {messages:8} "
                        f"p50 {one.p50 * 1e3:6.1f} ms   p95 {one.p95 * 1e3:6.1f} ms",
                        flush=True,
                    )
    report_results(
        options.json,
        surroundings,
        [chart(database, some) for database, some in found.items()],
        [*goals_of(found, sizes[-1])],
        scrapes={
            database: [asdict(one) for one in some] for database, some in found.items()
        },
    )
    return 0


def goals_of(found: dict[str, list[Scraped]], rows: int) -> Iterator[Goal]:
    """A scrape takes as long whatever is in the outbox."""
    for database, some in found.items():
        for one in some:
            if one.rows == rows:
                what = f"{database}: seconds a scrape with {rows:,} {one.messages}"
                yield Goal(f"{what}, median", GOAL_SECONDS, one.p50)


def chart(database: str, some: list[Scraped]) -> Chart:
    """How long the page takes, by what is in the outbox."""
    times = {f"{one.rows:,} {one.messages}": one.p50 * 1e3 for one in some}
    title = f"A scrape of the metrics, {database}"
    return Chart(title, "ms, median", times, tuple(times))


if __name__ == "__main__":
    sys.exit(main())
