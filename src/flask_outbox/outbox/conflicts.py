"""Conflicts: a transaction that makes way for another is run again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from . import dialects
from .database import Conflict, Database, Held

T = TypeVar("T")

CONFLICTS = 3
"""How often a transaction makes way for another before it is an error: each time it
does, that other one has come to its end."""


def write(database: Database, work: Callable[[Connection], T]) -> T:
    """Run ``work`` in a transaction, again where somebody else was in its way."""
    for _ in range(CONFLICTS):
        try:
            return database.write(work)
        except Conflict:
            continue
    return database.write(work)


LOOK_SECONDS = (0.01, 0.1)
"""How soon what somebody holds is tried again: ever later, up to the second."""


def write_patiently(database: Database, work: Callable[[Connection], T]) -> T:
    """Run ``work``, which may need a key that is in another's open transaction.

    It waits as long as a lock is waited for, and nobody waits with it: neither those
    who share commits, nor a connection. Raises `Held`. SQLite has one lock for all, and
    there is nothing to gain.
    """
    if database.embedded:
        return write(database, work)

    def run(connection: Connection) -> T:
        with dialects.hardly_waiting(connection):
            return work(connection)

    deadline = time.monotonic() + dialects.BUSY_SECONDS
    shortest, longest = LOOK_SECONDS
    pause = shortest
    while True:
        try:
            return _write_apart(database, run)
        except Held:
            if time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(shortest, pause))  # noqa: S311
        pause = min(longest, 2 * pause)


def _write_apart(database: Database, work: Callable[[Connection], T]) -> T:
    for _ in range(CONFLICTS):
        try:
            return database.write_apart(work)
        except Conflict:
            continue
    return database.write_apart(work)
