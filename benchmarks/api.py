"""How many mails a second leave by a provider's API, and what does each cost?

Our transports of Resend and Postmark beside Resend's own client and Anymail in a thread
pool, at a local API that answers after 50 ms. See README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from _api_sink import HOST, ApiSink
from _figures import Goal
from _loop import loop_factory
from _machine import show_machine
from _results import Chart, add_json_option, report_results

from flask_outbox.config import UrlSettings
from flask_outbox.courier.claimer import MOST_RIDERS
from flask_outbox.delivery import Envelope, Progress
from flask_outbox.transports.registry import find_adapter, with_options

try:
    import resend
except ImportError:
    resend = None
try:
    import anymail
    from django.conf import settings as django_settings
    from django.core import mail as django_mail
except ImportError:
    anymail = None

AT_A_TIME = (10, 100, 250)
"""Requests at a time: our connections, their threads."""
DELAY_SECONDS = 0.05
GOAL = 5.0
"""The most mails a second of ours to the most of theirs."""
ROUNDS, QUICK_ROUNDS = 5, 3
MAILS_EACH, QUICK_MAILS_EACH = 20, 10
"""Mails for each of the requests at a time."""
SENDER, RECIPIENT = "shop@example.com", "ada@example.org"
TEXT = "your order left our house today, and will be with you soon.\r\n" * 23
CONTENT = (
    f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Your order\r\n\r\n{TEXT}"
).encode()
PACKAGES = (
    "Flask-Outbox", "aiohttp", "uvloop", "resend", "django-anymail", "requests"
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one way came to in one round."""

    mails_a_second: float
    processor_ms: float
    """Processor time of this process, for each mail."""


Way = Callable[[int, int, int], Run]
"""Sends to a port, with so many requests at a time, so many mails."""


def measured(send: Callable[[], None], mails: int) -> Run:
    """Time ``send``, which sends so many mails."""
    began, used = time.perf_counter(), time.process_time()
    send()
    seconds = time.perf_counter() - began
    return Run(mails / seconds, (time.process_time() - used) * 1000 / mails)


def ours_by_resend(port: int, at_a_time: int, mails: int) -> Run:
    """Our transport of Resend, which sends each mail in a request of its own."""
    return _ours("resend", port, at_a_time, at_a_time, mails)


def ours_by_postmark(port: int, at_a_time: int, mails: int) -> Run:
    """Our transport of Postmark, where mails share calls.

    It has as many mails to send as a courier with so many places gives it.
    """
    return _ours("postmark", port, at_a_time, at_a_time * (1 + MOST_RIDERS), mails)


def _ours(
    scheme: str, port: int, connections: int, mails_at_a_time: int, mails: int
) -> Run:
    """A transport of ours in one event loop, its connections open already."""
    settings = UrlSettings(
        scheme,
        HOST,
        port,
        username="key",
        query={"tls": "no"},
        max_connections=connections,
    )
    adapter: Any = find_adapter(scheme)
    transport = adapter(with_options(adapter, settings))

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            report = await transport.deliver(
                Envelope(SENDER, (RECIPIENT,)), CONTENT, Progress()
            )
            if not report.accepted:
                raise SystemExit(f"a mail was not accepted: {report}")

    async def all_at_work(count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(work(numbers) for _ in range(mails_at_a_time)))

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(all_at_work(mails_at_a_time))
        found = measured(lambda: runner.run(all_at_work(mails)), mails)
        runner.run(transport.close())
    return found


def resends_client(port: int, at_a_time: int, mails: int) -> Run:
    """``resend.Emails.send`` in a thread pool."""
    resend.api_key = "key"
    resend.api_url = f"http://{HOST}:{port}"
    mail: Any = {
        "from": SENDER,
        "to": [RECIPIENT],
        "subject": "Your order",
        "text": TEXT,
    }

    def send(_: int) -> None:
        assert resend.Emails.send(mail)["id"]

    return _in_threads(send, at_a_time, mails)


def anymails_backend(port: int, at_a_time: int, mails: int) -> Run:
    """Anymail's backend of Resend in a thread pool, one open connection a thread."""
    if not django_settings.configured:
        django_settings.configure()
    opened = threading.local()

    def send(_: int) -> None:
        if not hasattr(opened, "backend"):
            opened.backend = django_mail.get_connection(
                "anymail.backends.resend.EmailBackend",
                api_key="key",
                api_url=f"http://{HOST}:{port}/",
            )
            opened.backend.open()
        message = django_mail.EmailMessage("Your order", TEXT, SENDER, [RECIPIENT])
        assert opened.backend.send_messages([message]) == 1

    return _in_threads(send, at_a_time, mails)


def _in_threads(send: Callable[[int], None], threads: int, mails: int) -> Run:
    """Send so many mails in a pool whose threads are started already."""
    with ThreadPoolExecutor(threads) as pool:

        def send_all(count: int) -> None:
            for _ in pool.map(send, range(count)):
                pass

        send_all(threads)
        return measured(lambda: send_all(mails), mails)


OURS: dict[str, Way] = {
    "our Resend": ours_by_resend,
    "our Postmark": ours_by_postmark,
}
THEIRS: dict[str, Way] = {
    "Resend's client": resends_client,
    "Anymail": anymails_backend,
}


def main() -> None:
    """Run both in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="for a first look")
    add_json_option(parser)
    chosen = parser.parse_args()
    rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)
    each = QUICK_MAILS_EACH if chosen.quick else MAILS_EACH
    about = show_machine(Path.cwd(), PACKAGES)
    missing = {
        name: "is not installed"
        for name, package in (("Resend's client", resend), ("Anymail", anymail))
        if package is None
    }
    ways = {name: way for name, way in (OURS | THEIRS).items() if name not in missing}
    for name, why in missing.items():
        print(f"{name} {why}: pip install -r requirements/bench.txt")
    print(f"\nAn API that answers after {DELAY_SECONDS * 1000:.0f} ms:")
    found: dict[int, dict[str, list[Run]]] = {}
    for at_a_time in AT_A_TIME:
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        with ApiSink(DELAY_SECONDS) as api:
            for number in range(rounds):
                for name in [*ways] if number % 2 else [*ways][::-1]:
                    runs[name].append(ways[name](api.port, at_a_time, each * at_a_time))
        found[at_a_time] = runs
        print("\n".join(lines(at_a_time, runs)), flush=True)
    goals = [] if THEIRS.keys() <= missing.keys() else [goal(found)]
    report_results(
        chosen.json,
        about,
        charts(found),
        goals,
        missing,
        runs={
            count: {name: [asdict(one) for one in some] for name, some in runs.items()}
            for count, runs in found.items()
        },
    )


def charts(found: dict[int, dict[str, list[Run]]]) -> list[Chart]:
    """Rates and processor time, with each number of requests at a time."""
    return [
        Chart(
            "Mail by an API that answers after 50 ms",
            unit,
            {
                f"{name}, {count} at a time": median(
                    getattr(one, field) for one in some
                )
                for count, runs in found.items()
                for name, some in runs.items()
            },
            tuple(f"{name}, {count} at a time" for count in found for name in OURS),
        )
        for field, unit in (
            ("mails_a_second", "mails a second"),
            ("processor_ms", "ms of processor time a mail"),
        )
    ]


def lines(at_a_time: int, runs: dict[str, list[Run]]) -> Iterator[str]:
    """The medians of each way."""
    for name, some in runs.items():
        rate = median(one.mails_a_second for one in some)
        cost = median(one.processor_ms for one in some)
        yield (
            f"  {at_a_time:3} at a time  {name:16}{rate:8,.0f} mails a second"
            f"{cost:8.2f} ms of processor time a mail"
        )


def goal(found: dict[int, dict[str, list[Run]]]) -> Goal:
    """The ratio of the best medians, each with as many at a time as suits it best."""
    (our_rate, our_way), (their_rate, their_way) = (
        max(
            (median(one.mails_a_second for one in runs[name]), f"{name} with {count}")
            for count, runs in found.items()
            for name in ways
            if name in runs
        )
        for ways in (OURS, THEIRS)
    )
    what = f"mails a second, {our_way} at a time to {their_way}"
    return Goal(what, GOAL, our_rate / their_rate, at_least=True)


if __name__ == "__main__":
    main()
