"""Group commit: callers share commits, and return only after theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine

from flask_outbox.outbox import Outbox, group_commit
from flask_outbox.outbox.group_commit import GroupCommit, SharedWork, Work
from tests.waiting import WAIT_SECONDS, eventually

from .making import new_message


class Journal:
    """A file with one table; its transactions can be held open, and can fail.

    ``at_commit`` is called in each transaction when all work is done and nothing is
    committed yet, with the number of the transaction.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.commits = 0
        self.transactions = 0
        self.at_commit: Callable[[int], None] = lambda number: None
        self.group = GroupCommit(self._run_batch)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE line (name TEXT PRIMARY KEY)")

    def _run_batch(self, works: Sequence[Work[Any]]) -> list[Any]:
        self.transactions += 1
        number = self.transactions
        with self._engine.begin() as connection:
            results = [work(connection) for work in works]
            self.at_commit(number)
        self.commits += 1
        return results

    def add(self, name: str) -> str:
        """Add a line; its name, once it is there."""

        def work(connection: Connection) -> str:
            connection.exec_driver_sql("INSERT INTO line VALUES (?)", (name,))
            return name

        return self.group.run(work)

    def lines(self) -> set[str]:
        with self._engine.connect() as connection:
            return set(connection.exec_driver_sql("SELECT name FROM line").scalars())

    def wait_for(self, callers: int) -> None:
        """Wait until so many callers stand in line for the next commit."""
        eventually(lambda: len(self.group._waiting) == callers)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    engine = create_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    yield Journal(engine)
    engine.dispose()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


class Gate:
    """Holds the first transaction open until it is opened."""

    def __init__(self, journal: Journal) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        journal.at_commit = self._at_commit

    def _at_commit(self, number: int) -> None:
        if number == 1:
            self.reached.set()
            assert self._open.wait(WAIT_SECONDS)

    def open(self) -> None:
        self._open.set()


def queue_up(
    journal: Journal, threads: ThreadPoolExecutor, *calls: Callable[[], object]
) -> list[Future[object]]:
    """Call each in a thread, one after the other, while the first commit is held."""
    futures = []
    for number, call in enumerate(calls, start=1):
        futures.append(threads.submit(call))
        journal.wait_for(number)
    return futures


def adding(journal: Journal, *names: str) -> list[Callable[[], object]]:
    return [lambda name=name: journal.add(name) for name in names]  # type: ignore[misc]


# ------------------------------------------------------------------------------ sharing


def test_a_single_caller_commits_alone(journal: Journal) -> None:
    assert journal.add("a") == "a"
    assert journal.add("b") == "b"

    assert journal.commits == 2
    assert journal.lines() == {"a", "b"}


def test_all_who_wait_share_the_next_commit(
    journal: Journal, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(journal)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    names = [f"waiting {number}" for number in range(20)]
    waiting = queue_up(journal, threads, *adding(journal, *names))

    gate.open()

    assert first.result() == "first"
    assert [one.result() for one in waiting] == names
    assert journal.commits == 2
    assert journal.lines() == {"first", *names}


class SharedLine(SharedWork):
    """Adds a line, as work that shares its statements does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO line VALUES (?)", (self._name,))
        return self._name


def test_who_shared_a_commit_is_waited_for_at_the_next(
    journal: Journal, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share(name: str) -> Callable[[], str]:
        return lambda: journal.group.run(SharedLine(name))

    gate = Gate(journal)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    shared = queue_up(journal, threads, share("a"), share("b"))
    gate.open()
    assert first.result(WAIT_SECONDS) == "first"
    assert [one.result(WAIT_SECONDS) for one in shared] == ["a", "b"]
    assert journal.commits == 2

    monkeypatch.setattr(group_commit, "GATHER_SECONDS", WAIT_SECONDS)
    again = queue_up(journal, threads, share("c"))
    again.append(threads.submit(share("d")))

    assert [one.result(WAIT_SECONDS) for one in again] == ["c", "d"]
    assert journal.commits == 3


def test_who_does_not_come_again_is_not_waited_for_twice(
    journal: Journal, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(journal)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    calls = [lambda name=name: journal.group.run(SharedLine(name)) for name in "ab"]
    shared = queue_up(journal, threads, *calls)
    gate.open()
    assert first.result(WAIT_SECONDS) == "first"
    assert [one.result(WAIT_SECONDS) for one in shared] == ["a", "b"]

    assert journal.group.run(SharedLine("c")) == "c"
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", 10 * WAIT_SECONDS)

    assert threads.submit(journal.add, "d").result(WAIT_SECONDS) == "d"
    assert journal.commits == 4


def test_nobody_returns_before_the_commit(
    journal: Journal, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(journal)
    second_done, let_it_commit = threading.Event(), threading.Event()

    def at_commit(number: int) -> None:
        gate._at_commit(number)
        if number == 2:
            second_done.set()
            assert let_it_commit.wait(WAIT_SECONDS)

    journal.at_commit = at_commit
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    assert not first.done()
    waiting = queue_up(journal, threads, *adding(journal, "a", "b"))
    gate.open()
    assert second_done.wait(WAIT_SECONDS)
    assert journal.lines() == {"first"}
    assert not any(one.done() for one in waiting)

    let_it_commit.set()

    assert [one.result() for one in waiting] == ["a", "b"]


def test_hand_overs_share_their_commit(
    outbox: Outbox, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, let_go = threading.Event(), threading.Event()
    group, commits = outbox.database._group_commit, []
    run_batch = group._run_batch

    def count(works: Sequence[Work[Any]]) -> Sequence[Any]:
        commits.append(len(works))
        return run_batch(works)

    def hold(_connection: Connection) -> None:
        held.set()
        assert let_go.wait(WAIT_SECONDS)

    def enqueue() -> None:
        outbox.enqueue([new_message(outbox.clock())])

    monkeypatch.setattr(group, "_run_batch", count)
    threads.submit(outbox.database.write, hold)
    assert held.wait(WAIT_SECONDS)
    waiting = [threads.submit(enqueue) for _ in range(30)]
    eventually(lambda: len(group._waiting) == 30)
    let_go.set()
    for one in waiting:
        one.result()

    assert outbox.status().due == 30
    assert commits == [1, 30]


# ------------------------------------------------------------------------------ failing


def test_a_failing_caller_fails_alone(
    journal: Journal, threads: ThreadPoolExecutor
) -> None:
    journal.add("there")
    journal.transactions = 0
    gate = Gate(journal)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    good, bad, other = queue_up(
        journal, threads, *adding(journal, "good", "there", "other")
    )

    gate.open()

    assert first.result() == "first"
    assert good.result() == "good"
    assert other.result() == "other"
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        bad.result()
    assert journal.lines() == {"there", "first", "good", "other"}


def test_a_callers_own_error_is_raised_to_it(journal: Journal) -> None:
    class OurError(Exception):
        pass

    def work(_connection: Connection) -> None:
        raise OurError

    with pytest.raises(OurError):
        journal.group.run(work)
    assert journal.commits == 0
    assert journal.add("next") == "next"


def test_a_failed_commit_fails_all_its_callers(
    journal: Journal, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(journal)

    def at_commit(number: int) -> None:
        gate._at_commit(number)
        if number > 1:
            raise OSError("no room on the disk")

    journal.at_commit = at_commit
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    waiting = queue_up(journal, threads, *adding(journal, "a", "b", "c"))

    gate.open()

    assert first.result() == "first"
    for one in waiting:
        with pytest.raises(OSError, match="no room"):
            one.result()
    assert journal.lines() == {"first"}


# -------------------------------------------------------------------------- interrupted


def interrupt_at(journal: Journal, gate: Gate, fails: int, interrupted: int) -> None:
    """Have transaction ``fails`` fail and ``interrupted`` be interrupted (0: none)."""

    def at_commit(number: int) -> None:
        gate._at_commit(number)
        if number == fails:
            raise OSError("no room on the disk")
        if number == interrupted:
            raise KeyboardInterrupt

    journal.at_commit = at_commit


def test_an_interrupted_leader_loses_no_other_work(
    journal: Journal, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(journal)
    interrupt_at(journal, gate, fails=0, interrupted=2)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    waiting = queue_up(journal, threads, *adding(journal, "a", "b", "c"))

    gate.open()

    first.result()
    assert_one_was_interrupted(journal, waiting)


@pytest.mark.parametrize("interrupted", [3, 4, 5])
def test_an_interruption_while_a_batch_is_split_loses_no_work(
    journal: Journal, threads: ThreadPoolExecutor, interrupted: int
) -> None:
    gate = Gate(journal)
    interrupt_at(journal, gate, fails=2, interrupted=interrupted)
    first = threads.submit(journal.add, "first")
    assert gate.reached.wait(WAIT_SECONDS)
    waiting = queue_up(journal, threads, *adding(journal, "a", "b", "c"))

    gate.open()

    first.result()
    assert_one_was_interrupted(journal, waiting)


def assert_one_was_interrupted(journal: Journal, waiting: list[Future[object]]) -> None:
    """Whoever returned finds its line there, and only one did not return."""
    errors = [one.exception() for one in waiting]
    assert [type(one) for one in errors if one] == [KeyboardInterrupt]
    returned = {one.result() for one in waiting if not one.exception()}
    assert returned <= journal.lines()
    assert journal.add("afterwards") == "afterwards"
