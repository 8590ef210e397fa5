"""One outbox on each database, with a clock that the tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_outbox.limits import RetryWindow
from flask_outbox.outbox import Database, Outbox

from .making import RETRY_SECONDS, Clock

Opener = Callable[[str], Outbox]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'outbox.db'}"


def _outbox(database: Database, clock: Clock) -> Outbox:
    return Outbox(database, clock, retry_window=RetryWindow(RETRY_SECONDS))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opener(clock: Clock) -> Iterator[Opener]:
    """Opens outboxes, and closes them when the test is over."""
    outboxes: list[Outbox] = []

    def open_outbox(url: str) -> Outbox:
        outboxes.append(_outbox(Database(url), clock))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.database.close()


@pytest.fixture
def outbox(database: Database, clock: Clock) -> Outbox:
    return _outbox(database, clock)


@pytest.fixture
def other(url: str, opener: Opener) -> Outbox:
    """The same outbox, as another process would open it."""
    return opener(url)
