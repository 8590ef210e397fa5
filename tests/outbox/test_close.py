"""Closing: waits for calls that still use a connection."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, text

from flask_outbox.outbox import Database
from tests.waiting import WAIT_SECONDS

LONG_ENOUGH_SECONDS = 0.2
"""To see that something waits: nothing in its way, it takes a thousandth of this."""


def test_closing_waits_for_other_users(database: Database) -> None:
    """Where it was not, SQLite took the process down with it."""
    begun, go_on, answers = threading.Event(), threading.Event(), []

    def work(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        answers.append(connection.scalar(text("SELECT 42")))

    writing = threading.Thread(target=database.write, args=(work,), daemon=True)
    writing.start()
    assert begun.wait(WAIT_SECONDS)
    closing = threading.Thread(target=database.close, daemon=True)
    closing.start()
    closing.join(LONG_ENOUGH_SECONDS)
    assert closing.is_alive()

    go_on.set()
    for one in (writing, closing):
        one.join(WAIT_SECONDS)
        assert not one.is_alive()
    assert answers == [42]
    assert not database.opened


def test_a_closed_database_is_opened_again_at_its_next_use(database: Database) -> None:
    database.close()
    database.write(lambda connection: connection.scalar(text("SELECT 1")))
    assert database.opened
