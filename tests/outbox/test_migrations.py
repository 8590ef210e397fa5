"""Migrations: from each version of the tables to the newest, with mail in them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, func, insert, select

from flask_outbox.outbox import Database, Outbox, add_tables, migrations
from flask_outbox.outbox.ids import new_id
from flask_outbox.outbox.schema import REVISION, VERSION_TABLE


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in scripts]


REVISIONS = _revisions()

ROW = {
    int: 7,
    float: 1_900_000_000.5,
    Decimal: 1_900_000_000.5,
    str: "7",
    bytes: b"7",
}
"""What stands in a column of each type."""


@pytest.fixture
def engine(bare_url: str) -> Iterator[Engine]:
    engine = Database(bare_url).new_engine()
    yield engine
    engine.dispose()


def fill(engine: Engine) -> list[str]:
    """A row in each table as it is at this version; the tables' names."""
    present = MetaData()
    present.reflect(engine, only=lambda name, _: name.startswith("outbox_"))
    tables = [one for one in present.sorted_tables if one.name != VERSION_TABLE]
    with engine.begin() as connection:
        for table in tables:
            row = {one.name: ROW[one.type.python_type] for one in table.columns}
            connection.execute(insert(table).values(row))
    return [table.name for table in tables]


def test_the_newest_migration_is_the_version_that_the_code_needs() -> None:
    assert REVISIONS[0] == REVISION


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_version_is_upgraded_with_its_rows(
    bare_url: str, engine: Engine, revision: str
) -> None:
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
    names = fill(engine)
    assert names

    Database(bare_url).upgrade()

    assert Database(bare_url).version() == REVISION
    with engine.connect() as connection:
        metadata = MetaData()
        add_tables(metadata)
        for name in metadata.tables.keys() & set(names):
            table = metadata.tables[name]
            assert connection.scalar(select(func.count()).select_from(table)) == 1
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def downgrade(engine: Engine, revision: str) -> None:
    """What ``alembic downgrade`` does."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_migration_can_be_undone_and_made_again(
    bare_url: str, engine: Engine, revision: str
) -> None:
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
    before = MetaData()
    before.reflect(engine)
    fill(engine)

    downgrade(engine, "-1")
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)

    after = MetaData()
    after.reflect(engine)
    assert columns_of(after) == columns_of(before)
    assert indexes_of(after) == indexes_of(before)


def columns_of(tables: MetaData) -> dict[str, set[str]]:
    return {name: {*table.columns.keys()} for name, table in tables.tables.items()}


def indexes_of(tables: MetaData) -> set[str]:
    return {str(one.name) for table in tables.tables.values() for one in table.indexes}


def test_the_first_event_moves_into_its_message(bare_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
    present = MetaData()
    present.reflect(engine)
    message, event = present.tables["outbox_message"], present.tables["outbox_event"]
    row = {one.name: ROW[one.type.python_type] for one in message.columns}
    message_id = new_id()
    row |= {"id": message_id, "state": "sent", "batch": None, "origin": None}
    said = {"message_id": message_id, "at": row["enqueued_at"]}
    detail = '{"recipients":0,"courier":"C"}'
    with engine.begin() as connection:
        connection.execute(insert(message).values(row))
        for kind, told in (("enqueued", detail), ("cancelled", None)):
            row_of_it = {**said, "kind": kind, "detail": told}
            connection.execute(insert(event).values(row_of_it))

    database = Database(bare_url)
    database.upgrade()

    first, second = Outbox(database).get(message_id).events
    assert (first.kind, first.detail) == ("enqueued", {"recipients": 0, "courier": "C"})
    assert first.at.timestamp() == row["enqueued_at"]
    assert second.kind == "cancelled"
    database.close()
