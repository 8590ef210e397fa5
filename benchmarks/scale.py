"""What a rate of mail requires: the model in docs/scaling.rst, calculated.

Every input is what one of the benchmarks here measured: run these to have your own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"

DAY = 86_400
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12


@dataclass(frozen=True)
class Inputs:
    """The cost of a mail, and the capacity of one process."""

    handover_transactions: float
    """``footprint.py``, one by one: the most that a hand-over costs."""
    shared_transactions: float
    """``footprint.py``, 8 at a time: what it costs where threads share commits."""
    delivery_transactions: float
    """``footprint.py``, 10 at a time."""
    log_bytes: float
    """``footprint.py``: hand-over and delivery, PostgreSQL."""
    disk_bytes: float
    """``footprint.py``: a finished mail with its body, PostgreSQL, not vacuumed."""
    row_bytes: float
    """``footprint.py``: a finished mail whose body is pruned, PostgreSQL."""
    courier_rate: float
    """``engines.py``: mails a second of one ``external`` process."""
    messages_a_round_trip: float
    """``wire.py``: with PIPELINING, on one connection."""
    body_bytes: float = 700
    """What ``footprint.py`` sends: what a mail has more, log and disk have more."""
    batches_a_second: float = 100.0
    """The most tasks that one process's notifier publishes in a second."""
    batch: float = 100.0
    """The most mails that one task names."""


ALONE, SHARED, DELIVERED = (
    "handed over one by one",
    "handed over 8 at a time",
    "delivered",
)


def measured() -> Inputs:
    """What the newest runs found, as the documentation has it."""
    transactions, log, disk = (
        _chart("footprint", f"{title}, PostgreSQL")
        for title in (
            "What a mail takes",
            "What a mail adds to the log",
            "What a mail adds to the disk",
        )
    )
    engines = _chart("engines", "The engines, 1,000 mails, a server that is near")
    far = _results("wire")["goals"]
    return Inputs(
        handover_transactions=transactions[ALONE],
        shared_transactions=transactions[SHARED],
        delivery_transactions=transactions[DELIVERED],
        log_bytes=log[ALONE] + log[DELIVERED],
        disk_bytes=disk[ALONE] + disk[DELIVERED],
        row_bytes=disk["kept, without the body"],
        courier_rate=engines["external, 1 process"],
        messages_a_round_trip=next(
            goal["value"] for goal in far if goal["what"] == ON_ONE_CONNECTION
        ),
    )


ON_ONE_CONNECTION = (
    "10 connections, PIPELINING, 50 ms away: mails a round trip and connection"
)


def _chart(name: str, title: str) -> Mapping[str, float]:
    charts = _results(name)["charts"]
    return next(one["values"] for one in charts if one["title"] == title)


def _results(name: str) -> Mapping[str, Any]:
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    """A rate of mails, their size, and their retention."""

    name: str
    rate: float
    senders: int
    bodies_days: float = 7.0
    rows_days: float = 90.0
    mail_bytes: float = 20 * KB
    round_trip_seconds: float = 0.05
    busy: float = 0.5
    """The share of time that a courier may be busy, so that there is room for peaks."""


CASES = (
    Case("1 a second", 1, senders=2),
    Case("100 a second", 100, senders=4),
    Case("a million an hour", 1e6 / 3_600, senders=8, rows_days=30),
    Case("10,000 a second", 10_000, senders=64, bodies_days=1, rows_days=7),
)


@dataclass(frozen=True)
class Demand:
    """What a case requires."""

    transactions_a_second: str
    log_a_second: str
    disk: str
    courier_processes: str
    smtp_connections: str
    database_connections: str
    broker_messages_a_second: str


def demand(case: Case, given: Inputs) -> Demand:
    """The model's formulas."""
    rate = case.rate
    more = max(0.0, case.mail_bytes - given.body_bytes)
    least = given.shared_transactions + given.delivery_transactions
    most = given.handover_transactions + given.delivery_transactions
    log = rate * (given.log_bytes + more)
    bodies = case.bodies_days * (given.disk_bytes - given.row_bytes + more)
    disk = rate * DAY * (bodies + case.rows_days * given.row_bytes)
    processes = max(1, -(-rate // (given.courier_rate * case.busy)))
    smtp = rate * case.round_trip_seconds / given.messages_a_round_trip
    told = min(rate, case.senders * given.batches_a_second + rate / given.batch)
    return Demand(
        transactions_a_second=f"{rate * least:,.0f} … {rate * most:,.0f}",
        log_a_second=_bytes(log),
        disk=_bytes(disk),
        courier_processes=f"{processes:,.0f}",
        smtp_connections=f"{max(1, round(smtp)):,}",
        database_connections=f"{3 * processes + 2 * case.senders:,.0f}",
        broker_messages_a_second=f"{told:,.0f}",
    )


def _bytes(number: float) -> str:
    for unit, name in ((TB, "TB"), (GB, "GB"), (MB, "MB"), (KB, "KB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:.0f} B"


def main() -> int:
    """Print a column for each case."""
    given = measured()
    found = [demand(case, given) for case in CASES]
    print(f"{'':26}", *(f"{case.name:>20}" for case in CASES))
    for one in fields(Demand):
        values = (getattr(column, one.name) for column in found)
        print(f"{one.name.replace('_', ' '):26}", *(f"{value:>20}" for value in values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
