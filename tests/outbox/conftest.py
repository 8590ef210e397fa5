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
def database(home: Home, tmp_path: Path) -> Iterator[Database]:
    """An outbox's database without messages."""
    with home.empty(tmp_path) as database:
        yield database


@pytest.fixture
def url(database: Database) -> str:
    """Where it is, for whoever opens it a second time."""
    return database.url.render_as_string(hide_password=False)


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
    """Opens outboxes, and closes them when the test is over."""
    outboxes: list[Outbox] = []

    def open_outbox(url: str) -> Outbox:
        outboxes.append(Outbox(Database(url), clock))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.database.close()


@pytest.fixture
def outbox(database: Database, clock: Clock) -> Outbox:
    return Outbox(database, clock)


@pytest.fixture
def other(url: str, opener: Opener) -> Outbox:
    """The same outbox, as another process would open it."""
    return opener(url)
