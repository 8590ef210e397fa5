"""Does a transport that stalls slow down another? Ratio of the other's speed.

Two transports of one app: the messages of one are timed from the first ``send()`` to
the last that is recorded as sent, alone, and beside another whose server accepts
connections and never says a word, with messages waiting for it, in turns.

    .venv/bin/python benchmarks/lanes.py --messages 1000 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from _figures import Goal, ratios_of
from _machine import show_machine
from _results import Chart, add_json_option, write_results
from _sink import HOST, Sink
from flask import Flask

from flask_outbox import Mail, Message, signals

WAITING = 200
"""Messages pending for the server that stalls."""

TIMEOUT_SECONDS = 120.0


def speed(folder: Path, messages: int, *, beside_one_that_stalls: bool) -> float:
    """Messages per second by the transport with the working server."""
    with Sink() as well, Sink(hanging=True) as stalling:
        app = Flask("benchmark", instance_path=str(folder))
        app.config.update(
            MAIL_URL=f"smtp://{HOST}:{well.port}",
            MAIL_TRANSPORTS={"stalling": f"smtp://{HOST}:{stalling.port}"},
            MAIL_DEFAULT_SENDER="shop@example.com",
            OUTBOX_GRACE_SECONDS=0.1,
        )
        mail = Mail(app)
        with app.app_context():
            try:
                if beside_one_that_stalls:
                    _send(mail, WAITING, transport="stalling")
                return _measured(app, mail, messages)
            finally:
                mail.stop()


def _measured(app: Flask, mail: Mail, messages: int) -> float:
    left, all_sent = [messages], threading.Event()

    def count(_app: Flask, **_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            all_sent.set()

    with signals.message_sent.connected_to(count, app):
        began = time.perf_counter()
        _send(mail, messages)
        if not all_sent.wait(TIMEOUT_SECONDS):
            raise SystemExit(f"{left[0]} messages were not sent in time")
        return messages / (time.perf_counter() - began)


def _send(mail: Mail, messages: int, **options: Any) -> None:
    for number in range(messages):
        mail.send(Message(f"Hello {number}", ["ada@example.org"], "Hello\n"), **options)


def main() -> None:
    """Measure, and print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a first look")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="where files go")
    add_json_option(parser)
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.messages = 2, 200
    speeds: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        surroundings = show_machine(Path(folder), ["flask", "sqlalchemy"])
        for run in range(given.rounds):
            for stalls in (False, True):
                place = Path(folder) / f"{run}-{stalls}"
                speeds[stalls].append(
                    speed(place, given.messages, beside_one_that_stalls=stalls)
                )
    alone, beside = statistics.median(speeds[False]), statistics.median(speeds[True])
    print(f"alone: {alone:.0f} messages/s ({_range(speeds[False])})")
    print(f"beside one that stalls: {beside:.0f} messages/s ({_range(speeds[True])})")
    goal = Goal(
        "mails a second beside a transport that stalls to those without",
        0.9,
        ratios_of(speeds[True], speeds[False]),
        at_least=True,
    )
    print(goal)
    values = {"alone": alone, "beside one that stalls": beside}
    title = "A transport whose server works"
    chart = Chart(title, "mails a second", values, tuple(values))
    write_results(given.json, surroundings, [chart], [goal])


def _range(speeds: list[float]) -> str:
    return f"{min(speeds):.0f} to {max(speeds):.0f} in {len(speeds)} rounds"


if __name__ == "__main__":
    main()
