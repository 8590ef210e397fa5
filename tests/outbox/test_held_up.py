"""An app's transaction that stays open: which callers wait for it, and which do not."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, create_engine, select

from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Outbox, database, dialects, new_id
from flask_outbox.outbox.records import NewMessage
from flask_outbox.outbox.schema import recipient
from flask_outbox.outbox.session import AppTransaction
from tests.waiting import WAIT_SECONDS, eventually

from .databases import SERVERS
from .making import (
    ADA,
    BOB,
    COURIER,
    LEASE_SECONDS,
    claim_one,
    new_message,
    put,
    sent,
)

pytestmark = pytest.mark.parametrize("home", [*SERVERS], indirect=True)


def attached(byte: bytes) -> bytes:
    """A message with a large attachment."""
    lines = base64.encodebytes(byte * 32_768).replace(b"\n", b"\r\n")
    return (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n\r\n"
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines + b"\r\n--x--\r\n"
    )


@pytest.fixture
def key() -> str:
    """A new one: MariaDB locks the gap around one that was just deleted."""
    return new_id()


@pytest.fixture
def app(url: str) -> Iterator[Engine]:
    """The app's own engine on the same database."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


@contextmanager
def staying_open(
    outbox: Outbox, app: Engine, *news: NewMessage
) -> Iterator[Connection]:
    """An app's transaction in which these were sent, until the block ends."""
    with app.connect() as connection:
        joined = AppTransaction(outbox.database, connection, outbox.guard)
        for new in news:
            joined.enqueue(new)
        yield connection


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Grows by one each time somebody pauses before the next try."""
    seen: list[float] = []

    class Time:
        monotonic = staticmethod(time.monotonic)
        pause = staticmethod(time.sleep)

        @classmethod
        def sleep(cls, seconds: float) -> None:
            seen.append(seconds)
            cls.pause(seconds)

    monkeypatch.setattr(database, "time", Time)
    return seen


def everybody_else(outbox: Outbox) -> None:
    """What goes on in a process beside one hand-over."""
    outbox.register(COURIER, "thread", LEASE_SECONDS)
    put(outbox)
    put(outbox, key="order-8")
    put(outbox, content=attached(b"b"))
    held = outbox.claim(COURIER, "default", 1)
    assert outbox.record([sent(one, outbox.clock()) for one in held]).lost == []
    assert outbox.renew(COURIER, LEASE_SECONDS)


@pytest.mark.parametrize("commits", [True, False])
def test_only_a_sender_of_the_same_key_waits(
    outbox: Outbox,
    app: Engine,
    threads: ThreadPoolExecutor,
    tries: list[float],
    key: str,
    commits: bool,
) -> None:
    theirs = new_message(outbox.clock(), key=key)
    with staying_open(outbox, app, theirs) as transaction:
        waiting = threads.submit(put, outbox, key=key)
        eventually(lambda: tries)
        everybody_else(outbox)
        assert not waiting.done()
        if commits:
            transaction.commit()
        else:
            transaction.rollback()

    assert (waiting.result(WAIT_SECONDS) == theirs.id) is commits
    assert sum(one.subject == "Hello" for one in outbox.list()) == 4


def test_only_a_sender_of_the_same_attachment_waits(
    outbox: Outbox, app: Engine, threads: ThreadPoolExecutor, tries: list[float]
) -> None:
    theirs = new_message(outbox.clock(), content=attached(b"a"))
    with staying_open(outbox, app, theirs) as transaction:
        waiting = threads.submit(put, outbox, content=attached(b"a"))
        eventually(lambda: tries)
        everybody_else(outbox)
        assert not waiting.done()
        transaction.commit()

    message_id = waiting.result(WAIT_SECONDS)
    assert outbox.content(message_id) == outbox.content(theirs.id) == attached(b"a")


def test_many_waiting_senders_delay_no_others(
    outbox: Outbox, app: Engine, threads: ThreadPoolExecutor, tries: list[float]
) -> None:
    """More than there are connections for."""
    theirs = [new_message(outbox.clock(), key=f"order-{n}") for n in range(100, 130)]
    with staying_open(outbox, app, *theirs) as transaction:
        waiting: list[Future[str]] = [
            threads.submit(put, outbox, key=one.key) for one in theirs
        ]
        eventually(lambda: len(tries) > len(waiting))
        everybody_else(outbox)
        assert not any(one.done() for one in waiting)
        transaction.commit()

    assert [one.result(WAIT_SECONDS) for one in waiting] == [one.id for one in theirs]


def test_a_transaction_that_stays_open_too_long_is_an_error_for_its_key(
    outbox: Outbox, app: Engine, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 0.1)
    with staying_open(outbox, app, new_message(outbox.clock(), key=key)) as transaction:
        with pytest.raises(OutboxUnavailable, match=rf"open for too .* key '{key}'"):
            put(outbox, key=key)
        transaction.commit()

    assert put(outbox, key=key) == claim_one(outbox).id


def test_a_renewal_does_not_wait_for_writers(
    outbox: Outbox, threads: ThreadPoolExecutor
) -> None:
    outbox.register(COURIER, "thread", LEASE_SECONDS)

    def meanwhile(_connection: Connection) -> bool:
        return threads.submit(outbox.renew, COURIER, LEASE_SECONDS).result(WAIT_SECONDS)

    assert outbox.database.write(meanwhile)


def test_the_next_transaction_waits_for_locks_again(outbox: Outbox, key: str) -> None:
    put(outbox, key=key)
    with outbox.database.engine.connect() as connection:
        ask = {
            "postgresql": "SELECT setting::int / 1000 FROM pg_settings "
            "WHERE name = 'lock_timeout'",
            "mysql": "SELECT @@innodb_lock_wait_timeout",
        }[connection.dialect.name]
        assert connection.exec_driver_sql(ask).scalar() == dialects.BUSY_SECONDS


def test_what_became_of_a_message_does_not_wait_for_the_row_of_another(
    outbox: Outbox, app: Engine
) -> None:
    """Not in a table so small that a server would rather read all of it, either."""
    outbox.register(COURIER, "thread", LEASE_SECONDS)
    held = put(outbox)
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    put(outbox, ADA, BOB)
    with app.begin() as connection:
        wanted = select(recipient).where(recipient.c.message_id == held)
        connection.execute(wanted.with_for_update()).one()
        assert outbox.record([sent(claim_one(outbox), outbox.clock())]).lost == []
