"""How long does it take to make a message's bytes?

Measured beside the standard library's email package and Flask-Mail, in one run and in
turns. See README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Any

from _figures import Figures, Goal, in_turns
from _machine import machine
from _results import Chart, add_json_option, write_results
from flask import Flask

import flask_outbox
from flask_outbox.mime import compose

ROUNDS, QUICK_ROUNDS = 60, 6
MAILS = 20
"""How many messages each way composes in one turn."""

SENDER = "shop@example.com"
RECIPIENT = "ada@example.org"
TIMES_AS_FAST = 20


@dataclass(frozen=True)
class Shape:
    """One kind of message."""

    name: str
    subject: str
    body: str
    html: str | None = None
    attachment: bytes | None = None


TEXT = "Hello Ada,\n\nyour order 4711 left our house today.\n\nThe shop\n"
HTML = (
    "<p>Hello Ada,</p>\n<p>your order <b>4711</b> left our house today.</p>\n"
    "<p>The shop</p>\n"
)
USUAL = Shape("text + HTML", "Your order 4711 is on its way", TEXT, HTML)
SHAPES = (
    Shape("text", "Your order 4711 is on its way", TEXT),
    USUAL,
    Shape(
        "the same, not ASCII", "Grüße: Bestellung 4711", TEXT * 3 + "Grüße ✓\n", HTML
    ),
    Shape("with 100 KiB of PDF", "Invoice 4711", TEXT, HTML, bytes(range(256)) * 400),
)


def by_flask_outbox(shape: Shape) -> bytes:
    """Flask-Outbox."""
    message = flask_outbox.Message(
        shape.subject, [RECIPIENT], shape.body, shape.html, sender=SENDER
    )
    if shape.attachment is not None:
        message.attach("invoice.pdf", "application/pdf", shape.attachment)
    return compose(message).content


def by_the_standard_library(shape: Shape) -> bytes:
    """The standard library, as in its own examples."""
    message = EmailMessage(policy=SMTP)
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = shape.subject
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain="example.com")
    message.set_content(shape.body)
    if shape.html is not None:
        message.add_alternative(shape.html, subtype="html")
    if shape.attachment is not None:
        message.add_attachment(
            shape.attachment,
            maintype="application",
            subtype="pdf",
            filename="invoice.pdf",
        )
    return message.as_bytes()


def by_flask_mail(flask_mail: Any) -> Callable[[Shape], bytes]:
    """Flask-Mail."""

    def by_flask_mail(shape: Shape) -> bytes:
        message = flask_mail.Message(
            shape.subject, [RECIPIENT], shape.body, shape.html, sender=SENDER
        )
        if shape.attachment is not None:
            message.attach("invoice.pdf", "application/pdf", shape.attachment)
        made: bytes = message.as_bytes()
        return made

    return by_flask_mail


Way = Callable[[Shape], bytes]


def ways() -> tuple[dict[str, Way], dict[str, str]]:
    """Every available way, and which are missing and why."""
    here: dict[str, Way] = {
        "Flask-Outbox": by_flask_outbox,
        "email.message": by_the_standard_library,
    }
    try:
        import flask_mail
    except ImportError:
        return here, {"Flask-Mail": "pip install -r requirements/bench.txt"}
    app = Flask("benchmark")
    flask_mail.Mail(app)
    app.app_context().push()
    return {**here, "Flask-Mail": by_flask_mail(flask_mail)}, {}


def measure(here: Mapping[str, Way], shape: Shape, rounds: int) -> dict[str, Figures]:
    """Let each way compose messages of a shape, in turns."""
    samples: dict[str, list[list[float]]] = {name: [] for name in here}
    for number in range(rounds):
        for name in in_turns(list(here), number):
            samples[name].append(_stretch(here[name], shape))
    return {name: Figures.of(taken) for name, taken in samples.items()}


def _stretch(make: Way, shape: Shape) -> list[float]:
    seconds = []
    for _ in range(MAILS):
        began = time.perf_counter()
        made = make(shape)
        seconds.append(time.perf_counter() - began)
        assert made
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a first look")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    here, absent = ways()
    goals: list[Goal] = []
    charts = []
    for shape in SHAPES:
        figures = measure(
            here, shape, QUICK_ROUNDS if options.quick else options.rounds
        )
        ours = figures["Flask-Outbox"]
        times = {name: one.p50 * 1e6 for name, one in figures.items()}
        title = f"A message's bytes: {shape.name}"
        charts.append(Chart(title, "µs, median", times, ("Flask-Outbox",)))
        print(f"\n{shape.name:24}{'p50 µs':>8}   × Flask-Outbox (middle half)")
        for name, one in figures.items():
            print(f"{name:24}{one.p50 * 1e6:8.0f}{one.beside(ours)}")
        if shape is USUAL:
            goals = [
                Goal(f"Flask-Outbox to {name}", 1 / TIMES_AS_FAST, ours.beside(one))
                for name, one in figures.items()
                if one is not ours
            ]
    for name, reason in absent.items():
        print(f"\nnot measured: {name}: {reason}")
    print(f"\ngoals, for {USUAL.name}: {TIMES_AS_FAST} times as fast, so 0.05")
    for goal in goals:
        print(goal)
    surroundings = machine(Path.cwd(), ("Flask-Mail",))
    write_results(options.json, surroundings, charts, goals, absent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
