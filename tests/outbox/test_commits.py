"""Waiting for somebody else's commit: told of what counts, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, create_engine

from flask_outbox.outbox.commits import on_commit


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


class Calls:
    """Collects who was told, and whether the commit was over at that moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.names: list[str] = []
        self.overs: list[Callable[[], bool]] = []
        self.over_then: list[bool] = []

    def wait(self, name: str) -> None:
        def call(over: Callable[[], bool]) -> None:
            self.names.append(name)
            self.overs.append(over)
            self.over_then.append(over())

        on_commit(self._connection, call)


@pytest.fixture
def calls(connection: Connection) -> Calls:
    return Calls(connection)


def test_each_is_told_once(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    calls.wait("b")
    connection.commit()
    assert calls.names == ["a", "b"]
    connection.begin()
    calls.wait("c")
    connection.commit()
    assert calls.names == ["a", "b", "c"]


def test_the_end_of_the_commit_is_told(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    connection.commit()
    assert calls.over_then == [False]
    assert [over() for over in calls.overs] == [True]


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_nobody_is_told_of_a_rollback(connection: Connection, calls: Calls, end: str):
    transaction = connection.begin()
    calls.wait("a")
    getattr(transaction, end)()
    connection.begin()
    connection.commit()
    assert calls.names == []


def test_nobody_is_told_of_a_savepoint(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    with connection.begin_nested():
        calls.wait("b")
    assert calls.names == []
    connection.commit()
    assert calls.names == ["a", "b"]


def test_who_stood_in_a_savepoint_goes_with_it(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("before")
    savepoint = connection.begin_nested()
    calls.wait("inside")
    with connection.begin_nested():
        calls.wait("deeper")
    savepoint.rollback()
    calls.wait("after")
    connection.commit()
    assert calls.names == ["before", "after"]


def test_a_savepoint_that_was_there_before_the_first(
    connection: Connection, calls: Calls
):
    connection.begin()
    with connection.begin_nested() as outer:
        with connection.begin_nested():
            calls.wait("inside")
        outer.rollback()
    calls.wait("after")
    connection.commit()
    assert calls.names == ["after"]


def test_a_later_savepoint_takes_nobody_with_it(connection: Connection, calls: Calls):
    connection.begin()
    with connection.begin_nested():
        calls.wait("a")
        with connection.begin_nested() as later:
            later.rollback()
    connection.commit()
    assert calls.names == ["a"]


@pytest.mark.filterwarnings("ignore:nested transaction already")
def test_savepoints_that_end_with_an_outer_one_lose_nobody(
    connection: Connection, calls: Calls
):
    connection.begin()
    outer = connection.begin_nested()
    connection.begin_nested()
    calls.wait("lost")
    outer.rollback()
    calls.wait("kept")
    with connection.begin_nested() as another:
        another.rollback()
    connection.commit()
    assert calls.names == ["kept"]
