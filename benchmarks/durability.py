"""What does durability cost when many send at once, and when much is waiting?

Hand-overs a second from several threads, beside a bare commit for each; and what a mail
costs to claim and record at a backlog of a thousand to a million. See README.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from _figures import Ratio, in_turns, percentile
from _filling import keep_all, message
from _machine import machine
from flask import Flask

from flask_outbox import Mail
from flask_outbox.delivery import Envelope, Reply, State, Verdict
from flask_outbox.mime import compose
from flask_outbox.outbox.database import Database
from flask_outbox.outbox.ids import new_id
from flask_outbox.outbox.leases import Record
from flask_outbox.outbox.records import Claim, NewMessage
from flask_outbox.outbox.store import Outbox

THREADS = (1, 8, 32)
MAILS_A_THREAD = 50
ROUNDS, QUICK_ROUNDS = 20, 4
BACKLOGS, QUICK_BACKLOGS = (1_000, 100_000, 1_000_000), (1_000, 20_000)
CLAIMED_AT_ONCE = 10
TURNS = 300
BUSY_SECONDS = 60.0
BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]


# --------------------------------------------------------------- many send at once


@dataclass(frozen=True)
class Rates:
    """Hand-overs per second with so many threads: medians of the rounds."""

    threads: int
    raw: float
    outbox: float
    ratio: Ratio


def hand_overs(folder: Path, rounds: int) -> Iterator[Rates]:
    """Measure each number of threads, raw and ours in turns."""
    app = Flask("benchmark", instance_path=str(folder))
    app.config.update(MAIL_URL="inbox://", OUTBOX_ENGINE="external")
    mail = Mail(app)
    mail.send(message())
    octets = compose(message()).content
    with raw_commits(folder, octets) as commit:
        ways: dict[str, Callable[[], object]] = {
            "raw": commit,
            "outbox": lambda: mail.send(message()),
        }
        for threads in THREADS:
            found: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(rounds):
                for name in in_turns(list(ways), number):
                    found[name].append(rate(ways[name], threads))
            pairs = zip(found["outbox"], found["raw"], strict=True)
            ratios = [ours / raw for ours, raw in pairs]
            yield Rates(
                threads,
                percentile(found["raw"], 50),
                percentile(found["outbox"], 50),
                Ratio(*(percentile(ratios, percent) for percent in (50, 25, 75))),
            )


@contextmanager
def raw_commits(folder: Path, octets: bytes) -> Iterator[Callable[[], None]]:
    """Insert and commit the bytes, each thread on a connection of its own."""
    file = folder / "raw.db"
    own = threading.local()

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def commit() -> None:
        if not hasattr(own, "connection"):
            own.connection = connect()
        own.connection.execute("BEGIN IMMEDIATE")
        own.connection.execute("INSERT INTO mail (octets) VALUES (?)", (octets,))
        own.connection.execute("COMMIT")

    with closing(connect()) as first:
        first.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, octets BLOB)")
        yield commit


def rate(hand_over: Callable[[], object], threads: int) -> float:
    """How many mails a second so many threads hand over together."""
    start = threading.Barrier(threads + 1)

    def work() -> None:
        hand_over()
        start.wait()
        for _ in range(MAILS_A_THREAD):
            hand_over()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return threads * MAILS_A_THREAD / (time.perf_counter() - began)


# ---------------------------------------------------------------- much is waiting


@dataclass(frozen=True)
class Backlog:
    """What one mail costs at a backlog, and the process's largest memory until then."""

    rows: int
    claim_microseconds: float
    record_microseconds: float
    peak_megabytes: float

    @property
    def together(self) -> float:
        """Claim and record, in microseconds a mail."""
        return self.claim_microseconds + self.record_microseconds


def backlogs(folder: Path, sizes: tuple[int, ...]) -> Iterator[Backlog]:
    """Fill one outbox step by step, and measure at each size."""
    outbox = Outbox(Database(f"sqlite:///{folder / 'backlog.db'}"))
    outbox.register("01BENCHMARK000000000000000", "benchmark", 3_600)
    rows = 0
    for size in sizes:
        fill(outbox, size - rows)
        rows = size - TURNS * CLAIMED_AT_ONCE
        yield measure(outbox, size)


def fill(outbox: Outbox, rows: int) -> None:
    """Add so many messages."""
    octets = compose(message()).content
    keep_all(outbox, (waiting(outbox.clock(), octets) for _ in range(rows)))


def waiting(now: float, octets: bytes) -> NewMessage:
    """One message that is due."""
    unique = new_id()
    return NewMessage(
        id=unique,
        envelope=Envelope("shop@example.com", ("ada@example.org",)),
        message_id=f"<{unique}@example.com>",
        subject="Your order 4711 is on its way",
        content=octets,
        enqueued_at=now,
        due_at=now,
        give_up_at=now + 3_600,
    )


def measure(outbox: Outbox, rows: int) -> Backlog:
    """The medians of many small claims and their records."""
    claims, records = [], []
    for _ in range(min(TURNS, rows // CLAIMED_AT_ONCE // 2)):
        began = time.perf_counter()
        held = outbox.claim("01BENCHMARK000000000000000", "default", CLAIMED_AT_ONCE)
        claimed = time.perf_counter()
        outbox.record([sent(one, outbox.clock()) for one in held])
        records.append((time.perf_counter() - claimed) / len(held))
        claims.append((claimed - began) / len(held))
    peak_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Backlog(
        rows,
        percentile(claims, 50) * 1e6,
        percentile(records, 50) * 1e6,
        peak_kilobytes / 1024,
    )


def sent(held: Claim, now: float) -> Record:
    """The record of a message that its server accepted."""
    reply = Reply(250, "2.0.0", "OK")
    recipients = dict.fromkeys(held.envelope.recipients, (State.SENT, reply))
    return Record(held, Verdict(State.SENT, recipients), now, "sent", {"attempt": 1})


# ------------------------------------------------------------------------ the report


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    parser.add_argument("--dir", type=Path, default=BESIDE_THE_CLONE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="durability-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = machine(folder, ("Flask", "SQLAlchemy"))
        for what, value in surroundings.items():
            print(f"{what:9} {value}")
        rates = report_rates(folder, QUICK_ROUNDS if options.quick else ROUNDS)
        sizes = QUICK_BACKLOGS if options.quick else BACKLOGS
        costs = report_backlogs(folder, sizes)
    if options.json:
        found = {
            "machine": surroundings,
            "rates": [asdict(one) for one in rates],
            "backlogs": [asdict(one) for one in costs],
        }
        options.json.write_text(json.dumps(found, indent=2))
    return 0


def report_rates(folder: Path, rounds: int) -> list[Rates]:
    """Print the rates as they come, and the goal."""
    print("\nHand-overs a second, durability full, beside a bare commit for each mail")
    print(f"{'threads':>8} {'raw':>8} {'send()':>8}     ratio (middle half)")
    rates = []
    for one in hand_overs(folder, rounds):
        rates.append(one)
        print(f"{one.threads:8} {one.raw:8.0f} {one.outbox:8.0f} {one.ratio}")
    eight = next(one for one in rates if one.threads == 8).ratio.median
    print(f"{verdict(eight >= 4)} {eight:.2f} of at least 4.0 at 8 threads")
    return rates


def report_backlogs(folder: Path, sizes: tuple[int, ...]) -> list[Backlog]:
    """Print the costs as they come, and the goals."""
    print("\nClaim and record, microseconds a mail, ten mails at a time")
    print(f"{'backlog':>10} {'claim':>8} {'record':>8} {'together':>9} {'memory':>10}")
    costs = []
    for one in backlogs(folder, sizes):
        costs.append(one)
        print(
            f"{one.rows:10,} {one.claim_microseconds:8.0f} "
            f"{one.record_microseconds:8.0f} {one.together:9.0f} "
            f"{one.peak_megabytes:7.0f} MB"
        )
    growth = costs[-1].together / costs[0].together
    print(f"{verdict(growth <= 1.5)} {growth:.2f} of at most 1.5 from least to most")
    memory = costs[-1].peak_megabytes
    print(f"{verdict(memory < 150)} {memory:.0f} MB of less than 150 MB")
    return costs


def verdict(reached: bool) -> str:
    """What the docs may say."""
    return "reached" if reached else "missed "


if __name__ == "__main__":
    sys.exit(main())
