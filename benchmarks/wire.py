"""How many messages a second leave by SMTP, and how many in a round trip?

Prebuilt messages through our transport, beside Postfix's ``smtp-source``, at once and
over a long way. See README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from _delay import Delay
from _figures import Goal, Ratio, in_turns, percentile, ratios_of
from _loop import loop_factory
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _sink import HOST, Sink

from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Envelope, Progress
from flask_outbox.transports.smtp import SmtpTransport

CONNECTIONS = (10, 50)
WAITING = 20
"""Messages pending or in flight for each connection: a backlog."""
ROUNDS, QUICK_ROUNDS = 9, 3
MAILS, QUICK_MAILS = 20_000, 5_000
FAR_ROUND_TRIPS, QUICK_ROUND_TRIPS = 60, 20
ROUND_TRIP_SECONDS = 0.05
SENDER, RECIPIENT = "shop@example.com", "ada@example.org"
CONTENT = (
    b"From: shop@example.com\r\nTo: ada@example.org\r\nSubject: Your order\r\n\r\n"
    + (b"your order left our house today, and will be with you soon.\r\n" * 23)
)
SOURCE = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
PACKAGES = ("Flask-Outbox", "uvloop", "aiosmtplib")


@dataclass(frozen=True)
class Near:
    """At no distance: messages a second, and ours to theirs."""

    connections: int
    offer: str
    ours: float
    source: float | None
    ratio: Ratio | None


@dataclass(frozen=True)
class Far:
    """Over a long way: messages a second, and in each round trip on a connection."""

    connections: int
    offer: str
    ours: float
    a_round_trip: float


def ours(port: int, connections: int, mails: int) -> float:
    """Messages a second through our transport, its connections open already."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(deliver(port, connections, mails))


async def deliver(port: int, connections: int, mails: int) -> float:
    """Deliver this many mails from a backlog; returns how many a second."""
    settings = SmtpSettings(
        HOST,
        port,
        local_hostname="benchmark.test",
        max_connections=connections,
        max_messages_per_connection=sys.maxsize,
    )
    transport = SmtpTransport(settings)
    envelope = Envelope(SENDER, (RECIPIENT,))
    left = iter(range(mails))

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            report = await transport.deliver(envelope, CONTENT, Progress())
            if not report.accepted:
                raise SystemExit(f"a message was not accepted: {report}")

    async def all_at_work(numbers: Iterator[int]) -> None:
        workers = min(connections * WAITING, mails)
        await asyncio.gather(*(work(numbers) for _ in range(workers)))

    await all_at_work(iter(range(connections * WAITING)))
    began = time.perf_counter()
    await all_at_work(left)
    seconds = time.perf_counter() - began
    await transport.close()
    return mails / seconds


def source(port: int, connections: int, mails: int) -> float:
    """Messages a second by ``smtp-source -d``."""
    command = [SOURCE, "-d", "-s", str(connections), "-m", str(mails)]
    command += ["-l", str(len(CONTENT)), "-f", SENDER, "-t", RECIPIENT]
    began = time.perf_counter()
    subprocess.run([*command, f"{HOST}:{port}"], check=True)
    return mails / (time.perf_counter() - began)


def near(rounds: int, mails: int, *, chunking: bool) -> Iterator[Near]:
    """Ours and theirs in turns, at the same server."""
    there = Path(SOURCE).exists()
    ways = {"ours": ours, **({"source": source} if there else {})}
    for connections in CONNECTIONS:
        found: dict[str, list[float]] = {name: [] for name in ways}
        with Sink(chunking=chunking) as sink:
            for number in range(rounds):
                for name in in_turns(list(ways), number):
                    found[name].append(ways[name](sink.port, connections, mails))
        ratio = ratios_of(found["ours"], found["source"]) if there else None
        yield Near(
            connections,
            offered(chunking),
            percentile(found["ours"], 50),
            percentile(found["source"], 50) if there else None,
            ratio,
        )


def far(rounds: int, round_trips: int, *, chunking: bool) -> Iterator[Far]:
    """Ours over a long way: the backlog is as long as so many round trips."""
    for connections in CONNECTIONS:
        mails = connections * round_trips * (16 if chunking else 1)
        with (
            Sink(chunking=chunking) as sink,
            Delay(sink.port, ROUND_TRIP_SECONDS) as way,
        ):
            found = [ours(way.port, connections, mails) for _ in range(rounds)]
        rate = percentile(found, 50)
        trips = rate * ROUND_TRIP_SECONDS / connections
        yield Far(connections, offered(chunking), rate, trips)


def offered(chunking: bool) -> str:
    return "CHUNKING" if chunking else "PIPELINING"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="for a first look")
    add_json_option(parser)
    parser.add_argument("--profile", action="store_true", help="say where time goes")
    chosen = parser.parse_args()
    if chosen.profile:
        profile()
        return
    rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)
    mails = QUICK_MAILS if chosen.quick else MAILS
    trips = QUICK_ROUND_TRIPS if chosen.quick else FAR_ROUND_TRIPS
    about = show_machine(Path.cwd(), PACKAGES)
    print(f"\nAt no distance, messages a second of {len(CONTENT)} bytes:")
    close_by = []
    for chunking in (False, True):
        for one in near(rounds, mails, chunking=chunking):
            close_by.append(one)
            print(near_line(one), flush=True)
    print(f"\n{ROUND_TRIP_SECONDS * 1000:.0f} ms away:")
    away = []
    for chunking in (False, True):
        for two in far(max(3, rounds // 3), trips, chunking=chunking):
            away.append(two)
            print(far_line(two), flush=True)
    goals = [goal_near(one) for one in close_by] + [goal_far(two) for two in away]
    report_results(
        chosen.json,
        about,
        [chart_near(close_by), chart_far(away)],
        goals,
        near=[asdict(one) for one in close_by],
        far=[asdict(one) for one in away],
    )


def way(one: Near | Far) -> str:
    return f"{one.connections} connections, {one.offer}"


def goal_near(one: Near) -> Goal:
    what = f"{way(one)}: mails a second to smtp-source -d"
    return Goal(what, 0.8, one.ratio, at_least=True)


def goal_far(one: Far) -> Goal:
    what = f"{way(one)}, 50 ms away: mails a round trip and connection"
    limit = 10.0 if one.offer == "CHUNKING" else 0.9
    return Goal(what, limit, one.a_round_trip, at_least=True)


def chart_near(found: list[Near]) -> Chart:
    values = {f"ours, {way(one)}": one.ours for one in found}
    ours = tuple(values)
    values |= {
        f"smtp-source -d, {way(one)}": one.source
        for one in found
        if one.source is not None
    }
    return Chart("SMTP to a server that is near", "mails a second", values, ours)


def chart_far(found: list[Far]) -> Chart:
    values = {way(one): one.ours for one in found}
    title = "SMTP to a server 50 ms away"
    return Chart(title, "mails a second", values, tuple(values))


def near_line(one: Near) -> str:
    line = f"  {one.connections:3} connections, {one.offer:10} ours {one.ours:8,.0f}"
    if one.ratio is None:
        return f"{line}   (no smtp-source: apt-get install postfix)"
    return f"{line}   smtp-source -d {one.source:8,.0f}   {one.ratio}"


def far_line(one: Far) -> str:
    return (
        f"  {one.connections:3} connections, {one.offer:10} {one.ours:8,.0f} a second, "
        f"{one.a_round_trip:.2f} a round trip and connection"
    )


def profile() -> None:
    """Print where the time of a delivery is spent, without distance."""
    import cProfile
    import pstats

    with Sink() as sink:
        ours(sink.port, 50, QUICK_MAILS)
        profiler = cProfile.Profile()
        profiler.runcall(ours, sink.port, 50, QUICK_MAILS)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
