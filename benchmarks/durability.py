"""What does durability cost when many send at once, and when much is waiting?

Hand-overs a second from several threads, beside a bare commit for each; and what a mail
costs to claim and record at a backlog of a thousand to a million. See README.md.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from _figures import Goal, Ratio, in_turns, percentile, ratios_of
from _filling import keep_all, message
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from flask import Flask

from flask_outbox import EventKind, Mail
from flask_outbox.delivery import Envelope, Reply, State, Verdict
from flask_outbox.mime import compose
from flask_outbox.outbox import Database, Outbox, Record, new_id
from flask_outbox.outbox.records import Claim, NewMessage

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
    """Messages enqueued per second with this many threads: medians of the rounds."""

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
            yield Rates(
                threads,
                percentile(found["raw"], 50),
                percentile(found["outbox"], 50),
                ratios_of(found["outbox"], found["raw"]),
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
    """The cost of one mail at a backlog, and the process's peak memory so far."""

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
    """Add this many messages."""
    octets = compose(message()).content
    keep_all(outbox, (waiting(outbox.clock(), octets) for _ in range(rows)))


def waiting(now: float, octets: bytes) -> NewMessage:
    """A message that is due."""
    unique = new_id()
    return NewMessage(
        id=unique,
        envelope=Envelope("shop@example.com", ("ada@example.org",)),
        rfc_message_id=f"<{unique}@example.com>",
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
    verdict = Verdict(State.SENT, recipients)
    return Record(held, verdict, now, EventKind.SENT, {"attempt": 1})


# ------------------------------------------------------------------------ the report


def main() -> int:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="durability-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = show_machine(folder, ("Flask", "SQLAlchemy"))
        rates = report_rates(folder, options.rounds)
        costs = report_backlogs(folder, options.backlog)
    goals = [*goals_of_rates(rates), *goals_of_backlogs(costs)]
    report_results(
        options.json,
        surroundings,
        [chart_of_rates(rates), chart_of_backlogs(costs)],
        goals,
        rates=[asdict(one) for one in rates],
        backlogs=[asdict(one) for one in costs],
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, help=f"turns that each way takes ({ROUNDS})")
    add("--backlog", type=int, nargs="+", metavar="N", help="how many wait")
    add("--quick", action="store_true", help="a first look")
    add("--dir", type=Path, default=BESIDE_THE_CLONE)
    add_json_option(parser)
    options = parser.parse_args()
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    sizes = QUICK_BACKLOGS if options.quick else BACKLOGS
    options.backlog = tuple(options.backlog or sizes)
    return options


def report_rates(folder: Path, rounds: int) -> list[Rates]:
    """Print the rates as they are measured."""
    print("\nHand-overs a second, durability full, beside a bare commit for each mail")
    print(f"{'threads':>8} {'raw':>8} {'send()':>8}     ratio (middle half)")
    rates = []
    for one in hand_overs(folder, rounds):
        rates.append(one)
        print(f"{one.threads:8} {one.raw:8.0f} {one.outbox:8.0f} {one.ratio}")
    return rates


def goals_of_rates(rates: Sequence[Rates]) -> Iterator[Goal]:
    """Threads share their commits."""
    eight = next(one for one in rates if one.threads == 8).ratio
    what = "8 threads: mails a second by mail.send() to bare commits"
    yield Goal(what, 4.0, eight, at_least=True)


def chart_of_rates(rates: Sequence[Rates]) -> Chart:
    """Both ways with each number of threads."""
    values = {}
    for one in rates:
        values[f"mail.send(), {one.threads} threads"] = one.outbox
        values[f"bare commits, {one.threads} threads"] = one.raw
    ours = tuple(name for name in values if name.startswith("mail.send()"))
    return Chart("Mails handed over, durability full", "mails a second", values, ours)


def report_backlogs(folder: Path, sizes: tuple[int, ...]) -> list[Backlog]:
    """Print the costs as they are measured."""
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
    return costs


def goals_of_backlogs(costs: Sequence[Backlog]) -> Iterator[Goal]:
    """A long queue costs a mail nothing."""
    least, most = costs[0], costs[-1]
    what = f"claim and record with {most.rows:,} waiting to {least.rows:,}"
    yield Goal(what, 1.2, most.together / least.together)
    yield Goal("MB of memory", 120.0, most.peak_megabytes)


def chart_of_backlogs(costs: Sequence[Backlog]) -> Chart:
    """The cost of a mail with each backlog."""
    values = {f"{one.rows:,} waiting": one.together for one in costs}
    title = "Claim and record a mail, ten at a time"
    return Chart(title, "µs a mail", values, tuple(values))


if __name__ == "__main__":
    sys.exit(main())
