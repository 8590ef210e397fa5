"""How much of the time gevent's hub stands still while an app sends.

    python -m tests.process_models.ticker MAIL_URL HOLD_SECONDS

Run in a folder of its own. Prints one line of JSON: for each of several occupations,
the share of its time in which a greenlet that looks all the time could not look for
half of HOLD_SECONDS and longer.
"""

from __future__ import annotations

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from flask import Flask  # noqa: E402

from flask_outbox import Mail, Message  # noqa: E402
from tests.waiting import WAIT_SECONDS  # noqa: E402

LOOK_SECONDS = 0.001
MAILS = 10
WAITING = 20

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect("outbox.db", isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[1]))
connection.execute("COMMIT")
"""


def make_mail(smtp: str) -> Mail:
    """An app's mail, with its courier running."""
    app = Flask("ticking", instance_path=str(Path.cwd()))
    app.config.update(
        MAIL_URL=smtp,
        MAIL_DEFAULT_SENDER="shop@example.com",
        OUTBOX_URL="sqlite:///outbox.db",
    )
    mail = Mail(app)
    send(mail)
    assert mail.drain(WAIT_SECONDS)
    return mail


def send(mail: Mail) -> None:
    mail.send(Message("Hello", ["ada@example.org"], "Hello\n"))


def share_of_long_gaps(occupation: Callable[[], None], long_seconds: float) -> float:
    """How much of the time lies in gaps so long between a watching greenlet's turns."""
    gaps = []

    def look() -> None:
        last = time.perf_counter()
        while True:
            gevent.sleep(LOOK_SECONDS)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    looking = gevent.spawn(look)
    gevent.sleep(2 * LOOK_SECONDS)
    try:
        occupation()
        gevent.sleep(2 * LOOK_SECONDS)
    finally:
        looking.kill()
    return sum(gap for gap in gaps if gap >= long_seconds) / sum(gaps)


@contextmanager
def held_by_another(seconds: str) -> Iterator[None]:
    """Another process holds SQLite's write lock during the block, for so long."""
    command = [sys.executable, "-c", HOLD, seconds]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.wait()


def main() -> None:
    smtp, hold_seconds = sys.argv[1:]
    mail = make_mail(smtp)

    def send_many() -> None:
        for _ in range(MAILS):
            send(mail)
        assert mail.drain(WAIT_SECONDS)

    def send_while_locked() -> None:
        with held_by_another(hold_seconds):
            gevent.joinall([gevent.spawn(send, mail) for _ in range(WAITING)])

    occupations = {"sending": send_many, "locked": send_while_locked}
    long_seconds = float(hold_seconds) / 2
    shares = {
        name: share_of_long_gaps(occupation, long_seconds)
        for name, occupation in occupations.items()
    }
    assert mail.drain(WAIT_SECONDS)
    mail.stop()
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
