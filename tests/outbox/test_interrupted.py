"""Interruptions: exceptions that signal handlers raise, at any moment."""

from __future__ import annotations

import gc
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Outbox, claim
from flask_outbox.outbox.group_commit import GroupCommit
from tests.waiting import WAIT_SECONDS

from .conftest import Opener
from .making import new_message, put

on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)


class TimeOut(Exception):
    """What a worker's time-out raises."""


class Interrupting:
    """Raises in this thread where Python looks for signals, the nth time it does.

    Those places are the beginnings of its functions and the ends of the calls of C.
    """

    def __init__(self, at: int) -> None:
        self._left = at

    def __enter__(self) -> Interrupting:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_exception: object) -> None:
        sys.setprofile(None)

    @property
    def has_raised(self) -> bool:
        return self._left <= 0

    def _look(self, frame: Any, event: str, _argument: object) -> None:
        if event not in ("call", "c_return") or frame.f_code is _OWN_END:
            return
        self._left -= 1
        if self._left == 0:
            sys.setprofile(None)
            raise TimeOut


_OWN_END = Interrupting.__exit__.__code__


def interrupted_everywhere(call: Callable[[], object], step: int) -> Iterator[None]:
    """Call again and again, interrupted ever later, until it comes to its end."""
    at = 1
    while True:
        kept: list[Exception] = []  # with all that was going on, as a log may do
        interrupting = Interrupting(at)
        try:
            with interrupting:
                call()
        except Exception as error:  # what becomes of it, SQLAlchemy says, too
            kept.append(error)
            assert interrupting.has_raised
        if not interrupting.has_raised:
            return
        yield
        at += step


def is_free(path: Path) -> bool:
    """Whether nobody holds SQLite's write lock."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    return True


@pytest.fixture
def collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What was left half made is complained of here, not in other tests."""
    yield
    caplog.get_records("call").clear()  # their tracebacks hold what was going on
    gc.collect()  # which gives a connection back to a pool that nobody has
    gc.collect()


@on_sqlite
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
def test_no_lock_outlives_a_send(outbox: Outbox, tmp_path: Path) -> None:
    """Wherever it is interrupted, the file and the turn are free for others at once."""
    put(outbox)
    news = iter(lambda: new_message(outbox.clock()), None)
    kept = 1
    with ThreadPoolExecutor(1) as threads:
        for _ in interrupted_everywhere(lambda: outbox.enqueue([next(news)]), 3):
            kept += 1
            assert is_free(tmp_path / "outbox.db")
            threads.submit(put, outbox).result(WAIT_SECONDS)

    assert kept > 20
    assert outbox.database._gate.close(0)
    outbox.database._gate.open()


def test_a_leader_that_is_interrupted_leaves_the_lead() -> None:
    group = GroupCommit(lambda works: [work(None) for work in works])  # type: ignore[arg-type]

    def work(_connection: Connection) -> str:
        return "done"

    tried = 0
    with ThreadPoolExecutor(1) as threads:
        for _ in interrupted_everywhere(lambda: group.run(work), 1):
            tried += 1
            assert threads.submit(group.run, work).result(WAIT_SECONDS) == "done"

    assert tried > 10


def test_a_send_that_interrupts_a_send_of_its_thread_is_refused(outbox: Outbox) -> None:
    """As a handler of a signal does it, at whatever moment that comes."""
    new = new_message(outbox.clock())
    refused: list[str] = []

    def interrupt(_connection: Connection) -> str:
        try:
            put(outbox, key="from-the-handler")
        except OutboxUnavailable as error:
            refused.append(str(error))
        return "whole"

    assert outbox.database.write(interrupt) == "whole"
    (reason,) = refused
    assert "was interrupted while writing" in reason
    assert "signal handler" in reason
    outbox.enqueue([new])
    assert [one.id for one in outbox.list()] == [new.id]


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_send_that_interrupts_the_opening_of_the_outbox_is_refused(
    url: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = opener(url)
    refused: list[str] = []
    ask = outbox.database._set_clock

    def interrupted(engine: Any) -> None:
        with pytest.raises(OutboxUnavailable, match="interrupted while opening"):
            put(outbox)
        refused.append("at once")
        ask(engine)

    monkeypatch.setattr(outbox.database, "_set_clock", interrupted)
    outbox.database.open()
    assert refused == ["at once"]
    put(outbox)


# ---------------------------------------------------------------- a file that is gone


@on_sqlite
@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_was_deleted_or_replaced_is_noticed_and_opened_anew(
    outbox: Outbox, tmp_path: Path, replaced: bool
) -> None:
    put(outbox)
    for path in tmp_path.glob("outbox.db*"):
        path.unlink()
    if replaced:
        (tmp_path / "new.db").touch()
        (tmp_path / "new.db").replace(tmp_path / "outbox.db")

    with pytest.raises(OutboxUnavailable, match=r"deleted or replaced .* Nothing was"):
        put(outbox)

    message_id = put(outbox)
    assert [one.id for one in outbox.list()] == [message_id]
    assert (tmp_path / "outbox.db").stat().st_size > 0


@on_sqlite
@pytest.mark.parametrize("restored", [True, False])
def test_a_message_is_stored_in_the_new_file_whoever_noticed_that_the_old_is_gone(
    outbox: Outbox, opener: Opener, tmp_path: Path, restored: bool
) -> None:
    """A courier's heartbeat notices it, on a connection of its own."""
    put(outbox)
    backup = opener(f"sqlite:///{tmp_path / 'backup.db'}")
    backup.database.open()
    backup.database.close()
    for path in tmp_path.glob("outbox.db*"):
        path.unlink()
    if restored:
        (tmp_path / "backup.db").replace(tmp_path / "outbox.db")

    with pytest.raises(OutboxUnavailable, match="deleted or replaced"):
        outbox.database.write_ungrouped(claim.check_writable)

    message_id = put(outbox)
    assert [one.id for one in outbox.list()] == [message_id]
