"""How does a newsletter to 100,000 go: how fast, in how much memory, what overtakes it?

Handed over from a process of its own, in two sizes, so that its memory can be compared;
then rendered and sent by one courier in another process, while single mails are handed
over in between. See README.md.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _figures import Goal
from _machine import machine
from _results import Chart, add_json_option, report_results
from _sink import Sink
from _ways import Failed
from flask import Flask

from flask_outbox import Mail, Message, State

PACKAGES = ("Flask", "Jinja2", "SQLAlchemy", "uvloop")
BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]

MAILS, FEWER = 100_000, 10_000
QUICK_MAILS, QUICK_FEWER = 10_000, 1_000
ONE_BY_ONE = 1_000
OVERTAKING = 20

MEMORY_MB, OVERTAKEN_SECONDS = 100, 1.0
LOOK_SECONDS, PACE_SECONDS = 0.005, 0.1
PROGRESS_SECONDS = 0.5
FINISH_SECONDS = 900.0

TEMPLATES = {
    "november.subject.txt": "News for {{ name }}",
    "november.txt": "Dear {{ name }},\n\nthis is issue {{ issue }}.\n" + "News. " * 100,
    "november.html": "<p>Dear {{ name }},</p><p>this is issue {{ issue }}.</p>"
    + "<p>News.</p>" * 100,
}


@dataclass(frozen=True)
class HandedOver:
    """The result of sending to the outbox."""

    mails: int
    seconds: float
    memory_mb: float
    """The increase of the process's peak memory."""


@dataclass(frozen=True)
class Sent:
    """The result of the delivery."""

    mails: int
    seconds: float
    overtaking_seconds: tuple[float, ...]
    """The time from `send()` of each single mail until it was sent."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if something failed."""
    options = _options(arguments)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="many-", dir=options.dir) as name:
        folder = Path(name)
        surroundings = machine(folder, PACKAGES)
        surroundings["load"] = " ".join(f"{one:.1f}" for one in os.getloadavg())
        for what, value in surroundings.items():
            print(f"{what:9} {value}")
        try:
            one_by_one, handed_over, sent = measure(folder, options)
        except Failed as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
    report(one_by_one, handed_over, sent)
    goals = goals_of(handed_over, sent)
    report_results(
        options.json,
        surroundings,
        [chart(one_by_one, handed_over, sent)],
        goals,
        one_by_one=asdict(one_by_one),
        handed_over=[asdict(one) for one in handed_over],
        sent=asdict(sent),
    )
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--mails", type=int, default=MAILS, help="in the newsletter")
    add("--fewer", type=int, default=FEWER, help="in the one to compare memory with")
    add("--quick", action="store_true", help=f"a first look: {QUICK_MAILS:,} mails")
    add("--dir", type=Path, default=BESIDE_THE_CLONE, help="where the files are kept")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.mails, options.fewer = QUICK_MAILS, QUICK_FEWER
    return options


def measure(
    folder: Path, options: argparse.Namespace
) -> tuple[HandedOver, list[HandedOver], Sent]:
    """Send in each way, and have the largest batch delivered."""
    with Sink() as sink:
        places = [_place(folder / str(n), sink.port) for n in range(3)]
        one_by_one = _in_child(hand_over_one_by_one, places[0], ONE_BY_ONE)
        handed_over = [
            _in_child(hand_over, place, mails)
            for place, mails in (
                (places[1], options.fewer),
                (places[2], options.mails),
            )
        ]
        sent = deliver(places[-1], options.mails)
        taken = sink.close()
    due = options.mails + OVERTAKING
    if taken != due:
        raise Failed(f"{due:,} mails were handed over and {taken:,} arrived.")
    return one_by_one, handed_over, sent


# --------------------------------------------------------------- in a child process

Place = dict[str, Any]
"""The configuration of an app, which all its processes have."""


def _place(folder: Path, port: int) -> Place:
    (folder / "mail").mkdir(parents=True)
    for name, text in TEMPLATES.items():
        (folder / "mail" / name).write_text(text)
    return {
        "MAIL_URL": f"smtp://127.0.0.1:{port}",
        "MAIL_DEFAULT_SENDER": "news@example.com",
        "OUTBOX_URL": f"sqlite:///{folder / 'outbox.db'}",
        "OUTBOX_ENGINE": "external",
        "TEMPLATES": str(folder),
    }


def _open(place: Place) -> tuple[Flask, Mail]:
    app = Flask("benchmark", template_folder=place["TEMPLATES"])
    app.config.update({**place, "TEMPLATES": None})
    return app, Mail(app)


def _in_child(job: Callable[..., HandedOver], place: Place, mails: int) -> HandedOver:
    context = multiprocessing.get_context("spawn")
    line, theirs = context.Pipe()
    child = context.Process(target=job, args=(theirs, place, mails))
    child.start()
    theirs.close()
    try:
        result: HandedOver = line.recv()
    except EOFError:
        raise Failed("the process that hands over has ended early.") from None
    child.join()
    return result


def hand_over(line: Connection, place: Place, mails: int) -> None:
    """Send to so many; tell how long that took, and in how much memory."""

    def work(mail: Mail) -> None:
        mail.send_many("november", _rows(mails), tag="newsletter")

    line.send(_timed(place, mails, work))


def hand_over_one_by_one(line: Connection, place: Place, mails: int) -> None:
    """The same without a batch: `send()` for each."""

    def work(mail: Mail) -> None:
        for row in _rows(mails):
            message = Message.from_template(
                "november", [row["to"]], context=row, render="later"
            )
            mail.send(message)

    line.send(_timed(place, mails, work))


def _timed(place: Place, mails: int, work: Callable[[Mail], None]) -> HandedOver:
    app, mail = _open(place)
    with app.app_context():
        mail.batches()
        Message.from_template("november", [], context={"name": "", "issue": 0})
        before = _highest_mb()
        began = time.perf_counter()
        work(mail)
        seconds = time.perf_counter() - began
    return HandedOver(mails, seconds, _highest_mb() - before)


def _rows(mails: int) -> Iterator[dict[str, Any]]:
    for row in range(mails):
        yield {"to": f"user{row}@example.org", "name": f"Reader {row}", "issue": 11}


def _highest_mb() -> float:
    """The peak memory of this process; Linux reports it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(line: Connection, place: Place) -> None:
    """Deliver until a signal."""
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    app, mail = _open({**place, "OUTBOX_ENGINE": "thread"})
    with app.app_context():
        mail.start()
        line.recv()
        mail.stop()


# -------------------------------------------------------------------------- sending


@contextmanager
def _courier(place: Place) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    line, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs, place))
    child.start()
    try:
        yield
        line.send("stop")
        child.join(FINISH_SECONDS)
    finally:
        child.kill()
        child.join()


def deliver(place: Place, mails: int) -> Sent:
    """Have the newsletter delivered, and single mails in the middle of it."""
    app, mail = _open(place)
    with app.app_context(), _courier(place):
        (batch,) = mail.batches()
        began = _wait_until(mail, batch.id, 1)
        _wait_until(mail, batch.id, mails // 3)
        overtaking = [_overtake(mail) for _ in range(OVERTAKING)]
        if mail.batch(batch.id).finished >= mails:
            raise Failed("the newsletter was over before anything overtook it.")
        ended = _wait_until(mail, batch.id, mails)
        counts = mail.batch(batch.id).counts
    if counts != {State.SENT: mails}:
        raise Failed(f"not all were sent: {counts}")
    return Sent(mails, ended - began, tuple(overtaking))


def _wait_until(mail: Mail, batch: str, finished: int) -> float:
    """Wait until at least this many are finished."""
    deadline = time.perf_counter() + FINISH_SECONDS
    while mail.batch(batch).finished < finished:
        if time.perf_counter() > deadline:
            raise Failed(f"{finished:,} mails were not sent in {FINISH_SECONDS} s.")
        time.sleep(PROGRESS_SECONDS if finished > 1 else LOOK_SECONDS)
    return time.perf_counter()


def _overtake(mail: Mail) -> float:
    """How long a single mail takes from `send()` until it is sent."""
    time.sleep(PACE_SECONDS)
    began = time.perf_counter()
    id = mail.send(Message("Your new password", ["ada@example.org"], "Hello")).id
    while mail.get(id).state is not State.SENT:
        if time.perf_counter() - began > FINISH_SECONDS:
            raise Failed("a single mail was not sent.")
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - began


# ------------------------------------------------------------------------- telling


def report(one_by_one: HandedOver, handed_over: list[HandedOver], sent: Sent) -> None:
    """Print the tables."""
    print(
        f"\n{'handed over':24}{'mails':>9}{'mails/s':>9}{'memory over the start':>24}"
    )
    rows = {"send() for each": [one_by_one], "send_many()": handed_over}
    for name, ones in rows.items():
        for one in ones:
            rate = one.mails / one.seconds
            print(f"{name:24}{one.mails:9,}{rate:9,.0f}{one.memory_mb:21.1f} MB")
    print(f"\nrendered and sent: {sent.mails / sent.seconds:,.0f} mails/s")
    middle, longest = (
        statistics.median(sent.overtaking_seconds),
        max(sent.overtaking_seconds),
    )
    print(
        f"{OVERTAKING} single mails in the middle of it, from send() until sent: "
        f"median {middle * 1e3:.0f} ms, longest {longest * 1e3:.0f} ms"
    )


def goals_of(handed_over: list[HandedOver], sent: Sent) -> list[Goal]:
    """Memory, and how fast a single mail overtakes the newsletter."""
    fewer, all_of_them = handed_over
    growth = all_of_them.memory_mb - fewer.memory_mb
    longest = max(sent.overtaking_seconds)
    return [
        Goal("MB of memory over the start", MEMORY_MB, all_of_them.memory_mb),
        Goal(f"MB more than for {fewer.mails:,}", MEMORY_MB / 10, growth),
        Goal("s until the slowest single mail was sent", OVERTAKEN_SECONDS, longest),
    ]


def chart(one_by_one: HandedOver, handed_over: list[HandedOver], sent: Sent) -> Chart:
    """Mails a second, handed over and sent."""
    rates = {f"send() for each of {one_by_one.mails:,}": one_by_one}
    rates |= {f"send_many() to {one.mails:,}": one for one in handed_over}
    values = {name: one.mails / one.seconds for name, one in rates.items()}
    values["rendered and sent by one courier"] = sent.mails / sent.seconds
    return Chart("A newsletter", "mails a second", values, tuple(values))


if __name__ == "__main__":
    sys.exit(main())
