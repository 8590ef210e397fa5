"""The tables: created once, by whichever process is first, and as the code expects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, MetaData, inspect

from flask_outbox.delivery import State
from flask_outbox.errors import OutboxUnavailable, SchemaError
from flask_outbox.outbox import Database, Outbox, add_tables, dialects, migrations
from flask_outbox.outbox.schema import REVISION, VERSION_TABLE, metadata
from tests.waiting import WAIT_SECONDS

from . import elsewhere
from .conftest import Opener
from .databases import SERVERS
from .elsewhere import Job, Process
from .making import COURIER, claim_one, put

PROCESSES = 8


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """The database itself, whatever is in it."""
    engine = Database(url).new_engine()
    try:
        yield engine
    finally:
        engine.dispose()


def set_version(url: str, version: str) -> None:
    with connected(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"
        )


def in_processes(job: Job, url: str) -> list[str]:
    """Have many processes do the same at the same moment; what each says of it."""
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(job, url)) for _ in range(PROCESSES)]
        for process in processes:
            assert process.hear() == "ready"
        for process in processes:
            process.say()
        return [process.hear() for process in processes]


# --------------------------------------------------------------------- of what they are


def test_the_tables_match_the_code(bare_url: str) -> None:
    Database(bare_url).upgrade()

    with connected(bare_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        believed = MetaData()
        add_tables(believed)
        assert compare_metadata(context, believed) == []


def test_every_table_has_its_prefix(bare_url: str) -> None:
    Database(bare_url).upgrade()

    with connected(bare_url) as engine:
        names = set(inspect(engine).get_table_names())
    assert names == {VERSION_TABLE, *metadata.tables}
    assert all(name.startswith("outbox_") for name in names)


def test_an_upgrade_of_current_tables_keeps_their_rows(
    bare_url: str, opener: Opener
) -> None:
    Database(bare_url).upgrade()
    outbox = opener(bare_url)
    message_id = put(outbox)

    outbox.database.upgrade()

    assert claim_one(outbox).id == message_id


def test_the_version_of_the_tables_is_known(bare_url: str) -> None:
    database = Database(bare_url)
    assert database.version() is None
    database.upgrade()
    assert database.version() == REVISION


# ------------------------------------------------------------------------- at first use


def test_sqlite_tables_are_created_at_the_first_use(
    sqlite_url: str, opener: Opener
) -> None:
    outbox = opener(sqlite_url)

    assert outbox.list() == []
    put(outbox)
    assert outbox.status().due == 1


def test_the_folder_of_an_sqlite_file_is_created(
    tmp_path_factory: pytest.TempPathFactory, opener: Opener
) -> None:
    folder = tmp_path_factory.mktemp("app") / "instance" / "mail"

    put(opener(f"sqlite:///{folder / 'outbox.db'}"))

    assert (folder / "outbox.db").is_file()


def test_two_threads_can_use_a_new_outbox_at_once(
    sqlite_url: str, opener: Opener
) -> None:
    outbox = opener(sqlite_url)
    together = threading.Barrier(2)

    def first(use: Callable[[Outbox], object]) -> object:
        together.wait()
        return use(outbox)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(first, (put, Outbox.status)))

    assert outbox.get(str(found[0])).state is State.PENDING


def test_many_processes_can_use_a_new_outbox_at_once(
    sqlite_url: str, opener: Opener
) -> None:
    kept = in_processes(elsewhere.enqueue_first, sqlite_url)

    assert len(set(kept)) == PROCESSES
    assert {one.id for one in opener(sqlite_url).list()} == set(kept)


def test_many_processes_can_create_the_tables_at_once(
    bare_url: str, opener: Opener
) -> None:
    assert in_processes(elsewhere.upgrade, bare_url) == ["made"] * PROCESSES

    put(opener(bare_url))


# ---------------------------------------------------------------------- another version


on_servers = pytest.mark.parametrize("home", [*SERVERS], indirect=True)


@on_servers
def test_missing_tables_of_a_server_are_an_error_that_names_the_command(
    bare_url: str, opener: Opener
) -> None:
    outbox = opener(bare_url)

    with pytest.raises(SchemaError) as refused:
        put(outbox)
    assert "has no tables" in str(refused.value)
    assert "run 'flask outbox init'" in str(refused.value)
    with pytest.raises(SchemaError):
        outbox.claim(COURIER, "default", 1)

    outbox.database.upgrade()
    put(outbox)


SLEEP = {"postgresql": "SELECT pg_sleep(6)", "mysql": "SELECT sleep(6)"}


@on_servers
def test_an_upgrade_may_take_long_and_others_wait_for_it(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "ANSWER_SECONDS", 4)
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 1.0)
    upgrade, begun = command.upgrade, threading.Event()

    def slowly(config: Config, revision: str) -> None:
        if not begun.is_set():
            begun.set()
            connection: Connection = config.attributes["connection"]
            connection.exec_driver_sql(SLEEP[connection.dialect.name]).all()
        upgrade(config, revision)

    monkeypatch.setattr(command, "upgrade", slowly)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(Database(bare_url).upgrade)
        assert begun.wait(WAIT_SECONDS)
        Database(bare_url).upgrade()
        assert Database(bare_url).version() == REVISION
        first.result()


@on_servers
def test_an_upgrade_that_others_make_for_too_long_is_an_error(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "WAIT_SECONDS", 0.0)
    upgrade = command.upgrade

    def meanwhile(config: Config, revision: str) -> None:
        with pytest.raises(OutboxUnavailable, match="Another process"):
            Database(bare_url).upgrade()
        upgrade(config, revision)

    monkeypatch.setattr(command, "upgrade", meanwhile)
    Database(bare_url).upgrade()
    assert Database(bare_url).version() == REVISION


@on_servers
def test_an_upgrade_waits_for_none_of_another_database(
    bare_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB's locks are of the whole server."""
    monkeypatch.setattr(migrations, "WAIT_SECONDS", 0.0)
    upgrade = command.upgrade

    def meanwhile(config: Config, revision: str) -> None:
        with (
            database.engine.connect() as connection,
            migrations._exclusively(connection),
        ):
            upgrade(config, revision)

    monkeypatch.setattr(command, "upgrade", meanwhile)
    Database(bare_url).upgrade()
    assert Database(bare_url).version() == REVISION


@on_servers
def test_older_tables_of_a_server_are_an_error_that_names_the_command(
    bare_url: str, opener: Opener
) -> None:
    Database(bare_url).upgrade()
    set_version(bare_url, "0000")

    with pytest.raises(SchemaError) as refused:
        put(opener(bare_url))

    assert opener(bare_url).database.shown in str(refused.value)
    assert f"is at version 0000, this Flask-Outbox needs {REVISION}" in str(
        refused.value
    )
    assert "run 'flask outbox upgrade'" in str(refused.value)


def test_tables_of_a_newer_version_are_refused_and_left_unchanged(
    bare_url: str, opener: Opener
) -> None:
    """A newer Flask-Outbox was here: nothing is changed, and the error says so."""
    Database(bare_url).upgrade()
    set_version(bare_url, "9999")

    with pytest.raises(SchemaError, match="install a newer Flask-Outbox"):
        put(opener(bare_url))
    with pytest.raises(SchemaError, match="install a newer Flask-Outbox"):
        Database(bare_url).upgrade()

    assert Database(bare_url).version() == "9999"
