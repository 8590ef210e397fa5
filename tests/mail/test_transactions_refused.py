"""Sessions that `send(session=)` refuses: the error says why, nothing is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from flask_outbox import ConfigError, Message, OutboxUnavailable
from flask_outbox.limits import CHANCE
from flask_outbox.outbox import Database, database, dialects, schema
from tests.mail import shop as shops
from tests.mail.conftest import MakeSite
from tests.mail.shop import Order, Shop, begins_properly, engine_on
from tests.mail.site import ADA, Site
from tests.outbox.databases import put_empty_outbox
from tests.servers import JournalSmtp


@pytest.fixture
def shop(make_site: MakeSite, url: str) -> Iterator[Shop]:
    with shops.opened(make_site(OUTBOX_URL=url), url, "session") as shop:
        yield shop


@pytest.fixture
def impatient_shop(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """One on SQLite that waits only a moment for the write lock."""
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 0.1)
    url = f"sqlite:///{tmp_path / 'app.db'}"
    with shops.opened(make_site(OUTBOX_URL=url), url, "session") as shop:
        assert shop.site.outbox.list() == []
        yield shop


def send(site: Site, session: Any, **options: Any) -> None:
    site.mail.send(Message("Hello", [ADA], "Hello\n"), session=session, **options)


# ------------------------------------------------------------------ none that is open


def test_an_open_transaction_that_is_not_passed_is_named_in_the_error(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SQLite has one writer: the message can only be part of what has begun."""

    def wait(*_: float) -> float:
        raise AssertionError("it waits for itself")

    url = f"sqlite:///{tmp_path / 'app.db'}"
    site = make_site(OUTBOX_URL=url, OUTBOX_ENGINE="external")
    assert site.outbox.list() == []
    shops.make_tables(url)
    with engine_on(url) as engine, Session(engine) as session:
        session.add(Order(number=17))
        session.flush()
        with monkeypatch.context() as patch:
            patch.setattr(CHANCE, "uniform", wait)
            with pytest.raises(OutboxUnavailable) as refused:
                send(site, None)
        assert "a transaction that this thread has begun" in str(refused.value)
        assert "Pass session= (such as session=db.session)" in str(refused.value)
        send(site, session)
        session.commit()
    assert len(site.outbox.list()) == 1


def test_one_that_the_app_begins_itself_is_named_once_waiting_is_over(
    impatient_shop: Shop,
):
    """Such a transaction may only have read, while another process writes."""
    with Session(impatient_shop.engine) as session:
        session.add(Order(number=17))
        session.flush()
        with pytest.raises(OutboxUnavailable, match="this thread has begun"):
            send(impatient_shop.site, None)
        send(impatient_shop.site, session)
        session.commit()
    assert len(impatient_shop.site.outbox.list()) == 1
    assert impatient_shop.orders() == [17]


def test_one_of_another_thread_or_that_is_over_is_not_meant(
    impatient_shop: Shop,
):
    with Session(impatient_shop.engine) as session, ThreadPoolExecutor(1) as threads:
        session.add(Order(number=17))
        session.flush()
        with pytest.raises(OutboxUnavailable, match="Another process has held"):
            threads.submit(impatient_shop.site.send).result()
        session.commit()
        session.execute(select(Order))
        send(impatient_shop.site, None)
    assert len(impatient_shop.site.outbox.list()) == 1


def test_no_other_writer_comes_between_the_check_and_the_message(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not even in the first transaction, which checks the outbox's tables, too."""
    file = tmp_path / "app.db"
    put_empty_outbox(file)
    url = f"sqlite:///{file}"
    with shops.opened(make_site(OUTBOX_URL=url), url, "session") as shop:

        def read_while_another_writes(connection: Connection) -> str | None:
            version = schema.version_of(connection)
            with suppress(sqlite3.OperationalError), closing(_writer(file)) as other:
                other.execute("INSERT INTO shop_order VALUES (17)")
            return version

        with monkeypatch.context() as patch:
            patch.setattr(database, "version_of", read_while_another_writes)
            receipt = shop.send()
        shop.till.commit()
        assert shop.kept(receipt) == [True]


def _writer(file: Path) -> sqlite3.Connection:
    """A connection that does not wait for the lock."""
    return sqlite3.connect(file, timeout=0, isolation_level=None)


# ------------------------------------------------------------------ another database


def _refused(site: Site, session: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        send(site, session)
    assert site.outbox.list() == []
    return str(refused.value)


def test_a_session_on_another_file_is_refused(site: Site, tmp_path: Path):
    with (
        engine_on(f"sqlite:///{tmp_path / 'app.db'}") as engine,
        Session(engine) as session,
    ):
        said = _refused(site, session)
    assert f"session= is on sqlite:///{tmp_path / 'app.db'}" in said
    assert f"tables are in {site.outbox.database.shown}: two" in said
    assert "two databases cannot commit as one. Set OUTBOX_URL to the app's" in said


def test_a_session_on_a_database_in_memory_is_refused(site: Site):
    with engine_on("sqlite://") as engine, engine.connect() as connection:
        assert "session= is on sqlite://" in _refused(site, connection)


def test_a_session_on_another_kind_of_database_is_refused(
    shop: Shop, tmp_path: Path, site: Site
):
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("the site's own outbox is on SQLite")
    with shop.engine.connect() as connection:
        assert "two databases cannot commit as one" in _refused(site, connection)
    with (
        engine_on(f"sqlite:///{tmp_path / 'app.db'}") as engine,
        engine.connect() as connection,
    ):
        assert "session= is on sqlite" in _refused(shop.site, connection)


def test_a_session_on_another_database_of_the_server_is_refused(
    shop: Shop, bare_url: str
):
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("it has no server")
    Database(bare_url).upgrade()
    with engine_on(bare_url) as engine, Session(engine) as session:
        said = _refused(shop.site, session)
    assert make_url(bare_url).render_as_string() in said


def test_a_password_is_not_shown(shop: Shop, site: Site):
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("only this server takes any password from a trusted place")
    url = shop.engine.url.set(password="secret")
    with engine_on(url) as engine, engine.connect() as connection:
        assert "secret" not in _refused(site, connection)


def test_a_session_on_another_schema_is_refused(shop: Shop):
    """Its tables of the same names are somebody else's outbox."""
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has schemas within a database")
    with shop.engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA tenant"))
        connection.execute(text("SET LOCAL search_path TO tenant"))
        assert "but the outbox's tables are in" in _refused(shop.site, connection)


def test_a_session_on_several_databases_needs_the_right_connection(
    shop: Shop, tmp_path: Path, server: JournalSmtp
):
    """Its first one is not the outbox's: the connection of the right one is wanted."""
    with (
        engine_on(f"sqlite:///{tmp_path / 'orders.db'}") as orders,
        Session(orders, binds={Order: shop.engine}) as session,
    ):
        said = _refused(shop.site, session)
        assert "pass session.connection(bind_arguments={'bind': engine})" in said
        send(shop.site, session.connection(bind_arguments={"bind": shop.engine}))
        session.rollback()
        assert shop.rows() == 0
        send(shop.site, session.connection(bind_arguments={"bind": shop.engine}))
        session.commit()
    server.wait_for(1)


# -------------------------------------------------- the same database by another name


def test_the_same_file_by_another_name_is_accepted(
    site: Site, tmp_path: Path, server: JournalSmtp
):
    site.make_ready()
    other = tmp_path / "other.db"
    other.symlink_to(str(site.outbox.database.url.database))
    with engine_on(f"sqlite:///{other}") as engine, engine.begin() as connection:
        send(site, connection)
    with (
        engine_on("sqlite://", creator=lambda: sqlite3.connect(other)) as engine,
        engine.begin() as connection,
    ):
        send(site, connection)
    server.wait_for(2)


def test_the_same_server_by_another_name_is_accepted(shop: Shop, server: JournalSmtp):
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("it has no server")
    url = shop.engine.url.set(host="localhost")
    with engine_on(url) as engine, engine.begin() as connection:
        send(shop.site, connection)
    server.wait_for(1)


# --------------------------------------------------------------- not a session at all


def test_an_object_that_is_no_session_is_refused(site: Site):
    maker = sessionmaker(create_engine("sqlite://"))
    for session in ("sqlite://", maker, maker.kw["bind"], object(), 0):
        with pytest.raises(TypeError) as refused:
            send(site, session)
        assert f"session= is of type {type(session).__name__}" in str(refused.value)
        assert "pass a synchronous SQLAlchemy Session" in str(refused.value)
    assert site.outbox.list() == []


def test_an_asynchronous_session_is_refused(shop: Shop):
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("its driver is the one here that has an asynchronous half")
    engine = create_async_engine(shop.engine.url)
    for session in (AsyncSession(engine), engine):
        with pytest.raises(TypeError, match=r"of type Async.*pass a synchronous"):
            send(shop.site, session)


# ------------------------------------------------- transactions that cannot hold mail


def test_a_closed_connection_is_refused(shop: Shop):
    connection = shop.engine.connect()
    connection.close()
    with pytest.raises(OutboxUnavailable) as refused:
        send(shop.site, connection)
    assert "session= cannot be used: This Connection is closed" in str(refused.value)
    assert "Nothing was stored." in str(refused.value)


def test_a_session_that_needs_a_rollback_is_refused(shop: Shop):
    session = shop.till
    session.add_all([Order(number=1), Order(number=1)])
    with pytest.raises(IntegrityError):
        session.flush()
    with pytest.raises(OutboxUnavailable, match=r"session= cannot be used: .*rollback"):
        send(shop.site, session)
    session.rollback()
    send(shop.site, session)
    session.commit()


def test_a_failed_transaction_is_refused(shop: Shop):
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL takes no more statements after an error")
    with shop.engine.connect() as connection:
        with pytest.raises(Exception, match="nowhere"):
            connection.execute(text("SELECT nowhere"))
        with pytest.raises(OutboxUnavailable) as refused:
            send(shop.site, connection)
    assert "current transaction is aborted" in str(refused.value)
    assert "An earlier statement of it failed: roll it back." in str(refused.value)


def test_a_two_phase_transaction_is_refused(shop: Shop):
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("it has no such transactions")
    with Session(shop.engine, twophase=True) as session:
        assert "two-phase" in _refused(shop.site, session)


def test_autocommit_is_refused(shop: Shop):
    engine: Engine = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
    if shop.engine.dialect.name == "sqlite":
        engine = create_engine(shop.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        assert "commits each statement separately (AUTOCOMMIT)" in _refused(
            shop.site, connection
        )
    engine.dispose()


def test_a_read_only_transaction_is_refused(shop: Shop):
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("it has no such transactions")
    with shop.engine.connect() as connection:
        connection.exec_driver_sql(_READ_ONLY[connection.dialect.name])
        with pytest.raises(OutboxUnavailable) as refused:
            send(shop.site, connection)
        assert "Its transaction is read-only: send in one that can write." in str(
            refused.value
        )
        assert connection.scalar(text("SELECT 1")) == 1
    assert shop.rows() == 0


_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "START TRANSACTION READ ONLY",
}


def test_a_read_only_file_is_refused(site: Site):
    site.outbox.list()
    with engine_on(str(site.outbox.database.url)) as engine, engine.connect() as reader:
        reader.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(OutboxUnavailable, match="readonly database"):
            send(site, reader)
        reader.exec_driver_sql("PRAGMA query_only = OFF")


# --------------------------------------------------------------- SQLite's savepoints


def test_a_savepoint_without_a_transaction_around_it_is_refused(site: Site):
    """Python's driver, as it comes, begins no transaction before a savepoint."""
    site.outbox.list()
    url = str(site.outbox.database.url)
    with engine_on(url) as engine, Session(engine) as session:
        with session.begin_nested():
            assert "may not have begun a transaction around it" in _refused(
                site, session
            )
        session.rollback()


def test_a_savepoint_after_a_send_is_accepted(site: Site):
    site.outbox.list()
    url = str(site.outbox.database.url)
    with engine_on(url) as engine, Session(engine) as session:
        send(site, session)
        with session.begin_nested():
            send(site, session)
        session.rollback()
        assert site.outbox.list() == []
        send(site, session)
        with session.begin_nested():
            send(site, session)
        session.commit()
    assert len(site.outbox.list()) == 2


def test_a_savepoint_with_the_documented_event_listeners_is_accepted(site: Site):
    site.outbox.list()
    with engine_on(str(site.outbox.database.url)) as engine:
        begins_properly(engine)
        with Session(engine) as session:
            with session.begin_nested():
                send(site, session)
            session.rollback()
            assert site.outbox.list() == []


# ------------------------------------------------------------------- the first of all


@pytest.mark.parametrize("proper", [False, True])
def test_the_tables_are_created_in_the_first_transaction(
    make_site: MakeSite, tmp_path: Path, proper: bool
):
    """The app holds the lock, so that the outbox could only wait, and for it."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    site = make_site(OUTBOX_URL=url, OUTBOX_ENGINE="external")
    with engine_on(url) as engine:
        if proper:
            begins_properly(engine)
        with Session(engine) as session:
            session.execute(text("CREATE TABLE shop_order (number INTEGER)"))
            session.execute(text("INSERT INTO shop_order VALUES (1)"))
            send(site, session)
            session.rollback()
            session.execute(
                text("CREATE TABLE IF NOT EXISTS shop_order (number INTEGER)")
            )
            session.execute(text("INSERT INTO shop_order VALUES (1)"))
            send(site, session)
            session.commit()
    assert len(site.outbox.list()) == 1


@contextmanager
def without_table(engine: Engine, name: str) -> Iterator[None]:
    """A database that is broken in one place."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO lost")
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE lost RENAME TO {name}")


def test_a_failure_in_the_middle_leaves_nothing_behind(make_site: MakeSite, url: str):
    """The app goes on after the error, and commits the rest."""
    site = make_site(OUTBOX_URL=url, OUTBOX_ENGINE="external")
    with shops.opened(site, url, "session") as shop:
        shop.order(1)
        shop.till.commit()
        rows = shop.rows()
        with without_table(shop.engine, "outbox_recipient"):
            with pytest.raises(OutboxUnavailable, match="outbox_recipient"):
                shop.order(2)
            shop.till.commit()
        assert shop.orders() == [1, 2]
        assert shop.rows() == rows
