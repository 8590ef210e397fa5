"""Errors of databases: recognised by their codes, in any language."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    create_engine,
    make_url,
    select,
)

from flask_outbox.errors import OutboxUnavailable, SchemaError
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox.database import Conflict
from flask_outbox.outbox.schema import courier
from flask_outbox.outbox.session import AppTransaction
from tests.waiting import WAIT_SECONDS, eventually

from .conftest import Opener
from .databases import SERVERS, own_name
from .making import COURIER, new_message, put

GERMAN = "SET lc_messages = 'de_DE'"

on_servers = pytest.mark.parametrize("home", [*SERVERS], indirect=True)
on_mariadb = pytest.mark.parametrize("home", ["mariadb"], indirect=True)
on_postgresql = pytest.mark.parametrize("home", ["postgresql"], indirect=True)


def in_german(url: str) -> str:
    """The same outbox, whose errors come in German where the server can do that."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "mysql":
        parsed = parsed.update_query_dict({"init_command": GERMAN})
    return parsed.render_as_string(hide_password=False)


# -------------------------------------------------------------------------- conflicts


@on_mariadb
def test_the_test_server_answers_in_german(url: str, opener: Opener) -> None:
    outbox = opener(in_german(url))
    with pytest.raises(OutboxUnavailable, match="Tabelle"):
        outbox.database.write(lambda conn: conn.exec_driver_sql("SELECT * FROM none"))


@on_servers
def test_one_key_used_at_the_same_time_stores_one_message(
    url: str, opener: Opener
) -> None:
    outboxes = [opener(in_german(url)) for _ in range(3)]

    def send(number: int) -> str:
        outbox = outboxes[number % 3]
        (receipt,) = outbox.enqueue([new_message(outbox.clock(), key="order-7")])
        return receipt.id

    with ThreadPoolExecutor(12) as threads:
        ids = set(threads.map(send, range(60)))

    assert [one.id for one in outboxes[0].list()] == [*ids]


@on_servers
def test_a_deadlock_is_tried_again(url: str, opener: Opener) -> None:
    """Two transactions that wait for each other: one makes way, both come through."""
    one, other = opener(in_german(url)), opener(in_german(url))
    first, second = put(one), put(one)
    both_hold = threading.Barrier(2)
    runs: list[str] = []

    def crossing(mine: str, theirs: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            runs.append(mine)
            raise_priority(connection, mine)
            if runs.count(mine) == 1:
                both_hold.wait(WAIT_SECONDS)
            raise_priority(connection, theirs)

        return work

    with ThreadPoolExecutor(2) as threads:
        ways = [
            threads.submit(one.database.write, crossing(first, second)),
            threads.submit(other.database.write, crossing(second, first)),
        ]
        for way in ways:
            way.result(WAIT_SECONDS)

    assert len(runs) > 2
    assert [one.get(message_id).priority for message_id in (first, second)] == [2, 2]


def test_a_transaction_that_others_cross_again_and_again_comes_through(
    outbox: Outbox,
) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        runs.append(1)
        store_courier(connection)
        if len(runs) < 8:
            store_courier(connection)

    outbox.database.write(work)

    assert len(runs) == 8
    with outbox.database.reading() as connection:
        assert connection.scalars(select(courier.c.id)).all() == [COURIER]


def store_courier(connection: Connection) -> None:
    connection.execute(
        courier.insert().values(
            id=COURIER,
            engine="thread",
            host="web",
            pid=1,
            process="",
            started_at=1.0,
            seen_at=1.0,
            lease_until=1.0,
        )
    )


def raise_priority(connection: Connection, message_id: str) -> None:
    connection.exec_driver_sql(
        f"UPDATE outbox_message SET priority = priority + 1 WHERE id = '{message_id}'"
    )


@on_servers
def test_words_in_the_name_of_a_database_are_not_taken_for_a_conflict(
    url: str, opener: Opener
) -> None:
    there = make_url(url).set(database="unique_duplicate_deadlock")
    outbox = opener(there.render_as_string(hide_password=False))

    with pytest.raises(OutboxUnavailable) as caught:
        put(outbox)

    assert type(caught.value) is not Conflict


def test_words_in_the_name_of_a_table_are_not_taken_for_a_conflict(
    outbox: Outbox,
) -> None:
    with pytest.raises(OutboxUnavailable) as caught:
        outbox.database.write(
            lambda conn: conn.exec_driver_sql("SELECT * FROM unique_deadlock_lock")
        )

    assert type(caught.value) is not Conflict
    assert "lock for too long" not in str(caught.value)


@on_mariadb
def test_a_held_lock_is_recognised_in_any_language(url: str, opener: Opener) -> None:
    german = make_url(in_german(url))
    held, waits = (
        opener(
            german.update_query_dict(
                {"init_command": f"{GERMAN}, innodb_lock_wait_timeout = 1"}
            ).render_as_string(hide_password=False)
        )
        for _ in range(2)
    )
    message_id = put(held)

    def hold(connection: Connection) -> None:
        raise_priority(connection, message_id)
        with pytest.raises(OutboxUnavailable, match="held a lock for too long"):
            waits.act(MessageActions.cancel, message_id)

    held.database.write(hold)


def test_a_server_that_ends_the_connection_of_one_harms_no_other(
    outbox: Outbox, opener: Opener
) -> None:
    """As one does over which too much came."""
    held, let_go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        held.set()
        assert let_go.wait(WAIT_SECONDS)

    def lose(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if outbox.database.embedded:
            raise_an_error_of_its_own(driver)
        end_it(driver)

    with ThreadPoolExecutor(4) as threads:
        threads.submit(outbox.database.write, hold)
        assert held.wait(WAIT_SECONDS)
        good = [threads.submit(put, outbox) for _ in range(2)]
        bad = threads.submit(outbox.database.write, lose)
        let_go.set()
        ids = {one.result(WAIT_SECONDS) for one in good}
        with pytest.raises(OutboxUnavailable):
            bad.result(WAIT_SECONDS)

    assert {one.id for one in outbox.list()} == ids


def raise_an_error_of_its_own(driver: Any) -> None:
    driver.execute("INSERT INTO outbox_schema SELECT * FROM outbox_schema")
    driver.execute("SELECT * FROM no_such_table")


def end_it(driver: Any) -> None:
    """Have the server end the connection, and notice."""
    with driver.cursor() as cursor:
        if hasattr(driver, "pgconn"):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        else:
            cursor.execute("KILL CONNECTION_ID()")
        cursor.execute("SELECT 1")


# --------------------------------------------------------------------------- encodings


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a PostgreSQL database that is not in UTF-8."""
    name = own_name(request.param.lower())
    server = create_engine(
        SERVERS["postgresql"], poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' "
            "LC_CTYPE 'C' TEMPLATE template0"
        )
        yield server.url.set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@on_postgresql
def test_a_database_that_is_not_utf8_is_refused(
    home: object, other_encoding: str, opener: Opener
) -> None:
    outbox = opener(other_encoding)

    for use in (outbox.database.upgrade, outbox.database.open, outbox.status):
        with pytest.raises(SchemaError, match=r"encoding is \w+, .*ENCODING 'UTF8'"):
            use()


@on_postgresql
def test_an_encoding_in_the_environment_changes_nothing(
    url: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    outbox = opener(url)
    assert outbox.get(put(outbox, subject="日本")).subject == "日本"


@on_postgresql
def test_an_encoding_in_the_url_changes_nothing(url: str, opener: Opener) -> None:
    outbox = opener(f"{url}?client_encoding=latin1")
    assert outbox.get(put(outbox, subject="日本")).subject == "日本"


@on_servers
def test_a_connection_that_is_not_utf8_is_refused(outbox: Outbox, url: str) -> None:
    names = {"postgresql": "client_encoding", "mysql": "charset"}
    key = names[make_url(url).get_backend_name()]
    app = create_engine(make_url(url).update_query_dict({key: "latin1"}))
    try:
        with app.connect() as connection:
            joined = AppTransaction(outbox.database, connection, outbox.guard)
            with pytest.raises(OutboxUnavailable, match="use UTF-8"):
                joined.enqueue(new_message(outbox.clock(), subject="日本"))
    finally:
        app.dispose()
    assert outbox.list() == []


# -------------------------------------------------------------- errors without advice

REFUSED = {
    "postgresql": "DO $$ BEGIN RAISE 'zu viel' USING ERRCODE = '54000'; END $$",
    "mysql": "SIGNAL SQLSTATE '45000'",
}
"""What a driver reports as a failure of the database, and is one of the statement."""


@on_servers
def test_what_the_database_refuses_fails_nobody_who_shares_the_commit(
    outbox: Outbox,
) -> None:
    database = outbox.database
    refused = saying(REFUSED[database.engine.dialect.name])
    begun, go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)

    with ThreadPoolExecutor(3) as threads:
        held = threads.submit(database.write, hold)
        assert begun.wait(WAIT_SECONDS)
        bad = threads.submit(database.write, refused)
        eventually(lambda: len(database._group_commit._waiting) == 1)
        good = threads.submit(put, outbox)
        eventually(lambda: len(database._group_commit._waiting) == 2)
        go_on.set()

    held.result()
    with pytest.raises(OutboxUnavailable):
        bad.result()
    assert {one.id for one in outbox.list()} == {good.result()}


# ------------------------------------------------------------------------ psycopg's own


@on_postgresql
@pytest.mark.parametrize("said", ["none", "0", "3"])
def test_prepare_threshold_in_the_url_is_respected(
    url: str, opener: Opener, said: str
) -> None:
    outbox = opener(f"{url}?prepare_threshold={said}")
    ids = [put(outbox) for _ in range(8)]
    assert {one.id for one in outbox.list()} == {*ids}


# --------------------------------------------------------------------------- full disks

FULL = {
    "sqlite": ["INSERT INTO used_up (id) VALUES (NULL)"],
    "postgresql": ["DO $$ BEGIN RAISE 'voll' USING ERRCODE = '53100'; END $$"],
    "mysql": [
        f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'voll'"
        for number in (1021, 1114)
    ],
}
"""What makes each database say that it is full."""


def test_a_full_disk_is_recognised_by_its_code(url: str, opener: Opener) -> None:
    database = opener(url).database
    name = database.engine.dialect.name
    if name == "sqlite":
        use_up(database.engine)
    for statement in FULL[name]:
        with pytest.raises(OutboxUnavailable) as raised:
            database.write(saying(statement))
        assert "Make room on the disk." in str(raised.value)


def saying(statement: str) -> Callable[[Connection], object]:
    """A work that says this one statement."""
    return lambda connection: connection.exec_driver_sql(statement)


def use_up(engine: Engine) -> None:
    """Make a table that has no number left for a row: SQLite calls that full."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE used_up (id INTEGER PRIMARY KEY AUTOINCREMENT)"
        )
        connection.exec_driver_sql(f"INSERT INTO used_up VALUES ({2**63 - 1})")
