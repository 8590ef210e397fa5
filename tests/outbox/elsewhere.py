"""The jobs that these tests run in processes of their own.

Each job is a function of this module: it is given a line to talk over, and strings.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from flask_outbox.limits import parse_limits
from flask_outbox.outbox import Database, Outbox

from .making import LEASE_SECONDS, new_message, sent

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])

Job = Callable[..., None]


class Process:
    """A process that runs a job; killed when the ``with`` block ends."""

    def __init__(self, job: Job, *arguments: str) -> None:
        self._line, theirs = _context.Pipe()
        self._process = _context.Process(target=job, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._process.close()
        self._line.close()

    def hear(self) -> Any:
        """The next message from the job."""
        return self._line.recv()

    def say(self, word: str = "go on") -> None:
        """Tell the job to go on."""
        self._line.send(word)

    def freeze(self) -> None:
        """Stop it at once (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self._process.kill()
        self._process.join()

    def _signal(self, number: int) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)


# ----------------------------------------------------------------------------- the jobs


def claim_all(line: Connection, url: str, courier: str) -> None:
    """Claim a few at a time until nothing is due, or far too much was claimed."""
    outbox = Outbox(Database(url))
    outbox.status()
    line.send("ready")
    line.recv()
    ids: list[str] = []
    while len(ids) < 1_000 and (claims := outbox.claim(courier, "default", 7)):
        ids += [held.id for held in claims]
    line.send(ids)


def claim_within(line: Connection, url: str, courier: str, limit: str) -> None:
    """Claim a few at a time until ``limit`` allows no more for long."""
    outbox = Outbox(Database(url))
    outbox.status()
    line.send("ready")
    line.recv()
    count, next_at = 0, 0.0
    while next_at < outbox.clock() + 60:
        claims, next_at = outbox.claim_within(
            courier, "default", 3, "default", parse_limits(limit)
        )
        count += len(claims)
    line.send(count)


def claim_and_record(line: Connection, url: str, courier: str, now: str) -> None:
    """Register, claim one message, and record it as sent when told to."""
    outbox = Outbox(Database(url), lambda: float(now))
    outbox.register(courier, "external", LEASE_SECONDS)
    (held,) = outbox.claim(courier, "default", 1)
    line.send(held.id)
    line.recv()
    line.send([lost.id for lost in outbox.record([sent(held, float(now))]).lost])


def upgrade(line: Connection, url: str) -> None:
    """Make the tables."""
    database = Database(url)
    line.send("ready")
    line.recv()
    database.upgrade()
    line.send("made")


def enqueue_one_key(line: Connection, url: str, threads: str) -> None:
    """Enqueue the same key in many threads at once."""
    outbox = Outbox(Database(url))
    outbox.status()

    def enqueue(_number: int) -> tuple[str, str, bool]:
        (receipt,) = outbox.enqueue([new_message(outbox.clock(), key="order-7")])
        return receipt.id, receipt.rfc_message_id, receipt.duplicate

    with ThreadPoolExecutor(int(threads)) as pool:
        line.send("ready")
        line.recv()
        line.send(list(pool.map(enqueue, range(int(threads)))))


def enqueue_first(line: Connection, url: str) -> None:
    """Use an outbox for the first time."""
    outbox = Outbox(Database(url))
    new = new_message(outbox.clock())
    line.send("ready")
    line.recv()
    line.send(outbox.enqueue([new])[0].id)
