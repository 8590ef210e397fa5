"""One outbox on each database, with a clock that the tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_outbox.outbox.database import Database
from flask_outbox.outbox.store import Outbox

from . import databases
from .databases import Home
from .making import Clock

Opener = Callable[[str], Outbox]


@pytest.fixture(scope="session", params=databases.NAMES)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """Each database system in turn."""
    with databases.opened(request.param, tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def url(home: Home, tmp_path: Path) -> Iterator[str]:
    """The URL of an outbox without messages."""
    with home.empty(tmp_path) as url:
        yield url


@pytest.fixture
def bare_url(home: Home, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    with home.bare(tmp_path) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'outbox.db'}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opener(clock: Clock) -> Iterator[Opener]:
    """Opens outboxes, each as a process of its own would, and closes them."""
    outboxes: list[Outbox] = []

    def open_outbox(url: str) -> Outbox:
        outboxes.append(Outbox(Database(url), clock))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.database.close()


@pytest.fixture
def outbox(url: str, opener: Opener) -> Outbox:
    return opener(url)


@pytest.fixture
def other(url: str, opener: Opener) -> Outbox:
    """The same outbox, opened a second time."""
    return opener(url)
