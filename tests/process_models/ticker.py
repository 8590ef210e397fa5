"""How long gevent's hub stands still, in the worst case, while an app sends.

    python -m tests.process_models.ticker MAIL_URL

Run in a folder of its own. Prints one line of JSON: the longest gap in seconds between
two looks of a greenlet that looks all the time, for each of several occupations.
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

LOOK_SECONDS = 0.001
IDLE_SECONDS = 0.5
HOLD_SECONDS = 1
MAILS = 50
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
    """An app's mail, its courier at work."""
    app = Flask("ticking", instance_path=str(Path.cwd()))
    app.config.update(
        MAIL_URL=smtp,
        MAIL_DEFAULT_SENDER="shop@example.com",
        OUTBOX_URL="sqlite:///outbox.db",
    )
    mail = Mail(app)
    send(mail)
    assert mail.drain(30)
    return mail


def send(mail: Mail) -> None:
    mail.send(Message("Hello", ["ada@example.org"], "Hello\n"))


def longest_gap(occupation: Callable[[], None]) -> float:
    """The longest time that the hub let pass between two looks meanwhile."""
    gaps = []

    def look() -> None:
        last = time.perf_counter()
        while True:
            gevent.sleep(LOOK_SECONDS)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    looking = gevent.spawn(look)
    try:
        occupation()
        gevent.sleep(2 * LOOK_SECONDS)
    finally:
        looking.kill()
    return max(gaps)


@contextmanager
def held_by_another() -> Iterator[None]:
    """Another process holds SQLite's one write lock for a while."""
    command = [sys.executable, "-c", HOLD, str(HOLD_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.wait()


def main() -> None:
    mail = make_mail(sys.argv[1])

    def send_many() -> None:
        for _ in range(MAILS):
            send(mail)
        assert mail.drain(30)

    def send_while_locked() -> None:
        with held_by_another():
            gevent.joinall([gevent.spawn(send, mail) for _ in range(WAITING)])

    gaps = {
        "idle": longest_gap(lambda: gevent.sleep(IDLE_SECONDS)),
        "sending": longest_gap(send_many),
        "locked": longest_gap(send_while_locked),
    }
    assert mail.drain(30)
    mail.stop()
    print(json.dumps(gaps))


if __name__ == "__main__":
    main()
