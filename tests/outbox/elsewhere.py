"""What these tests have done by processes of their own, and how they talk with them.

Each job is a function of this module: it gets strings, says and hears lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_outbox.outbox.database import Database
from flask_outbox.outbox.store import Outbox

from .making import LEASE_SECONDS, new_message, sent

REPOSITORY = Path(__file__).parents[2]


class Process:
    """A job at work; killed, if it still runs, when the ``with`` block ends."""

    def __init__(self, job: Callable[..., None], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, job.__name__, *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def hear(self) -> Any:
        """The next thing that the job says."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the process ended without an answer; its error is shown above"
        return json.loads(line)

    def say(self, word: str = "go on") -> None:
        """Tell the job to go on."""
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(word)}\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and wait until it is dead; it stays a zombie until `bury`."""
        self._process.kill()
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def bury(self) -> None:
        """Wait until nothing is left of it."""
        self._process.communicate()


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


def hear() -> None:
    sys.stdin.readline()


# ---------------------------------------------------------------------------- the jobs


def claim_all(url: str, courier: str) -> None:
    """Claim in small bites until nothing is due."""
    outbox = Outbox(Database(url))
    outbox.status()
    say("ready")
    hear()
    ids: list[str] = []
    while claims := outbox.claim(courier, "default", 7):
        ids += [held.id for held in claims]
    say(ids)


def claim_and_record(url: str, courier: str, now: str) -> None:
    """Register, claim one message, and record it as sent when told to."""
    outbox = Outbox(Database(url), lambda: float(now))
    outbox.register(courier, "external", LEASE_SECONDS)
    (held,) = outbox.claim(courier, "default", 1)
    say(held.id)
    hear()
    say([lost.id for lost in outbox.record([sent(held, float(now))])])


def upgrade(url: str) -> None:
    """Make the tables."""
    database = Database(url)
    say("ready")
    hear()
    database.upgrade()
    say("made")


def enqueue_first(url: str) -> None:
    """Use an outbox that nobody has used before."""
    outbox = Outbox(Database(url))
    new = new_message(outbox.clock())
    say("ready")
    hear()
    say([one.id for one in outbox.enqueue([new])])


def main(job: str, *arguments: str) -> None:
    globals()[job](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
