"""Waiting for the commit of the app's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, create_engine

from flask_outbox.outbox.session import on_commit


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


def test_each_message_is_reported_once(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    calls.wait("b")
    connection.commit()
    assert calls.names == ["a", "b"]
    connection.begin()
    calls.wait("c")
    connection.commit()
    assert calls.names == ["a", "b", "c"]


def test_a_report_knows_when_its_commit_is_over(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    connection.commit()
    assert calls.over_then == [False]
    assert [over() for over in calls.overs] == [True]


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_a_rollback_is_not_reported(connection: Connection, calls: Calls, end: str):
    transaction = connection.begin()
    calls.wait("a")
    getattr(transaction, end)()
    connection.begin()
    connection.commit()
    assert calls.names == []


def test_a_savepoint_is_not_reported(connection: Connection, calls: Calls):
    connection.begin()
    calls.wait("a")
    with connection.begin_nested():
        calls.wait("b")
    assert calls.names == []
    connection.commit()
    assert calls.names == ["a", "b"]


def test_messages_of_a_rolled_back_savepoint_are_not_reported(
    connection: Connection, calls: Calls
):
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


def test_messages_of_a_nested_savepoint_that_is_rolled_back_are_not_reported(
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


def test_a_later_savepoint_drops_no_earlier_message(
    connection: Connection, calls: Calls
):
    connection.begin()
    with connection.begin_nested():
        calls.wait("a")
        with connection.begin_nested() as later:
            later.rollback()
    connection.commit()
    assert calls.names == ["a"]


@pytest.mark.filterwarnings("ignore:nested transaction already")
def test_savepoints_that_end_with_an_outer_one_drop_no_later_message(
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
