"""What does rendering cost a courier, beside rendering in `send()`?

The processor time of a process that sends, and of one that delivers: mail without a
template, mail rendered when it is sent, and mail that a courier renders. See README.md.
They are many, so that what a process does once counts little.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _checkout import run_with
from _figures import Figures, Goal, in_turns, ratios_of
from _machine import show_machine
from _results import Chart, add_json_option, write_results
from _sink import Sink
from _ways import MAIL, SENDER, Failed
from flask import Flask

from flask_outbox import Mail, Message

ROUNDS, QUICK_ROUNDS = 5, 2
MAILS, QUICK_MAILS = 3_000, 1_000
FINISH_SECONDS = 120.0
HERE = Path(__file__).resolve()
PACKAGES = ("Flask", "Jinja2", "SQLAlchemy", "uvloop")

PLAIN, NOW, LATER = "no template", "rendered in send()", "rendered by a courier"
TEMPLATES = {
    "order.subject.txt": "Your order {{ number }}",
    "order.txt": "Dear {{ name }},\n\n{% for one in lines %}{{ one }}\n{% endfor %}",
    "order.html": "<p>Dear {{ name }},</p><ul>{% for one in lines %}"
    "<li>{{ one }}</li>{% endfor %}</ul>",
}


@dataclass(frozen=True)
class Cost:
    """Microseconds of processor time a mail, of who sends and of who delivers."""

    sending: float
    delivering: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    if options.way:
        print(json.dumps(work(options)))
        return 0
    surroundings = show_machine(options.dir, PACKAGES)
    try:
        costs = compare(options)
    except Failed as failure:
        print(f"\nFailed: {failure}", file=sys.stderr)
        return 1
    goal = report(costs)
    write_results(options.json, surroundings, [chart(costs)], [goal])
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="turns that each way takes")
    add("--mails", type=int, default=MAILS, help="in a turn")
    add("--quick", action="store_true", help="a first look")
    add("--dir", type=Path, default=HERE.parents[2], help="where the files are kept")
    add_json_option(parser)
    add("--way", choices=(PLAIN, NOW, LATER), help=argparse.SUPPRESS)
    add("--delivers", action="store_true", help=argparse.SUPPRESS)
    add("--folder", type=Path, help=argparse.SUPPRESS)
    add("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.mails = QUICK_ROUNDS, QUICK_MAILS
    return options


def compare(options: argparse.Namespace) -> dict[str, list[Cost]]:
    """Each way in each round, in turns."""
    costs: dict[str, list[Cost]] = {way: [] for way in (PLAIN, NOW, LATER)}
    with Sink() as sink:
        for number in range(options.rounds):
            for way in in_turns([*costs], number):
                costs[way].append(_cost(way, sink.port, options))
    return costs


def _cost(way: str, port: int, options: argparse.Namespace) -> Cost:
    with tempfile.TemporaryDirectory(prefix="render-", dir=options.dir) as folder:
        (Path(folder) / "mail").mkdir()
        for name, text in TEMPLATES.items():
            (Path(folder) / "mail" / name).write_text(text)
        given = ("--way", way, "--folder", folder, "--port", port)
        tree, mails = HERE.parents[1], ("--mails", options.mails)
        sending = json.loads(run_with(tree, HERE, *given, *mails))
        delivering = json.loads(run_with(tree, HERE, *given, *mails, "--delivers"))
    return Cost(sending, delivering)


def work(options: argparse.Namespace) -> float:
    """Send, or deliver what was sent; microseconds of processor time a mail."""
    app = Flask("benchmark", template_folder=str(options.folder))
    app.config.update(
        MAIL_URL=f"smtp://127.0.0.1:{options.port}",
        MAIL_DEFAULT_SENDER=SENDER,
        OUTBOX_URL=f"sqlite:///{options.folder / 'outbox.db'}",
        OUTBOX_ENGINE="thread" if options.delivers else "external",
    )
    mail = Mail(app)
    with app.app_context():
        mail.status()
        began = time.process_time()
        if options.delivers:
            mail.start()
            if not mail.drain(FINISH_SECONDS):
                raise SystemExit("Mail is still in the outbox.")
        else:
            for message in _messages(options.way, options.mails):
                mail.send(message)
        seconds = time.process_time() - began
        mail.stop()
    return seconds / options.mails * 1e6


def _messages(way: str, mails: int) -> Iterator[Message]:
    for number in range(mails):
        if way == PLAIN:
            yield Message(**MAIL)
        else:
            context: dict[str, Any] = {
                "name": f"Reader {number}",
                "number": number,
                "lines": [f"{one} × article {one}" for one in range(10)],
            }
            yield Message.from_template(
                "order",
                MAIL["recipients"],
                render="now" if way == NOW else "later",
                context=context,
            )


def report(costs: dict[str, list[Cost]]) -> Goal:
    """Print the costs; returns the goal."""
    print(f"\n{'µs of processor time a mail':32}{'sending':>9}{'delivering':>12}")
    for way, found in costs.items():
        sending, delivering = (
            Figures.of([[getattr(one, who)] for one in found]).p50
            for who in ("sending", "delivering")
        )
        print(f"{way:32}{sending:9.0f}{delivering:12.0f}")
    goal = Goal(
        "what rendering adds to a courier's mail to what it adds to send()",
        1.5,
        ratios_of(_added(costs, LATER, "delivering"), _added(costs, NOW, "sending")),
    )
    print(goal)
    return goal


def _added(costs: dict[str, list[Cost]], way: str, who: str) -> list[float]:
    pairs = zip(costs[way], costs[PLAIN], strict=True)
    return [getattr(one, who) - getattr(plain, who) for one, plain in pairs]


def chart(costs: dict[str, list[Cost]]) -> Chart:
    """The costs of sending and delivering."""
    values = {
        f"{way}, {who}": Figures.of([[getattr(one, who)] for one in found]).p50
        for way, found in costs.items()
        for who in ("sending", "delivering")
    }
    return Chart("A template", "µs of processor time a mail", values, tuple(values))


if __name__ == "__main__":
    sys.exit(main())
