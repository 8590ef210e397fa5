"""What holds for the whole run, and one outbox on each database that there is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from flask_outbox.outbox.database import Database
from tests.outbox import databases
from tests.outbox.databases import Home


def pytest_configure() -> None:
    """Have Ctrl-C count, and in the processes under test too.

    A shell that starts this run in the background has it ignored, and they inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # No example fails because the machine is slow.
    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")


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
