"""An outbox to move from and one to move to, on each pair of database systems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flask_outbox.outbox import Outbox
from flask_outbox.outbox.transfer import Move
from tests.crash.child import Child
from tests.crash.conftest import Start
from tests.moving.places import PAIRS, place
from tests.outbox.databases import FindHome, Home
from tests.outbox.making import Clock


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """From which database system to which; a test may name others."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def outbox_on(home: Home, folder: Path, clock: Clock) -> Iterator[Outbox]:
    """An outbox without messages."""
    folder.mkdir()
    with home.empty(folder) as database:
        yield Outbox(database, clock)


@pytest.fixture
def source(
    pair: tuple[str, str], find_home: FindHome, tmp_path: Path, clock: Clock
) -> Iterator[Outbox]:
    """The outbox that is moved."""
    with outbox_on(find_home(pair[0]), tmp_path / "old", clock) as outbox:
        yield outbox


@pytest.fixture
def target(
    pair: tuple[str, str], find_home: FindHome, tmp_path: Path, clock: Clock
) -> Iterator[Outbox]:
    """The outbox that it is moved to."""
    with outbox_on(find_home(pair[1]), tmp_path / "new", clock) as outbox:
        yield outbox


@pytest.fixture
def urls(pair: tuple[str, str], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URLs of source and target, without tables, for processes that are killed."""
    with ExitStack() as stack:
        here, there = (
            stack.enter_context(place(name, role, tmp_path))
            for name, role in zip(pair, ("old", "new"), strict=True)
        )
        yield here, there


@pytest.fixture
def move(source: Outbox, target: Outbox) -> Move:
    """A move that can begin."""
    move = Move(source, target)
    move.prepare()
    return move


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts child processes, which end with the test."""
    with ExitStack() as stack:

        def start(*job: object) -> Child:
            return stack.enter_context(Child(*job))  # type: ignore[arg-type]

        yield start
