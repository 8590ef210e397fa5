"""From each version of the tables to the newest, with mail in them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, func, insert, select

from flask_outbox.outbox import migrations
from flask_outbox.outbox.database import Database
from flask_outbox.outbox.schema import REVISION, VERSION_TABLE, metadata


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
    engine = Database(bare_url).connect()
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


def test_the_newest_is_the_one_that_the_code_needs() -> None:
    assert REVISIONS[0] == REVISION


@pytest.mark.parametrize("revision", REVISIONS)
def test_up_from_each_version(bare_url: str, engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
    names = fill(engine)
    assert names

    Database(bare_url).upgrade()

    assert Database(bare_url).version() == REVISION
    with engine.connect() as connection:
        for name in metadata.tables.keys() & set(names):
            table = metadata.tables[name]
            assert connection.scalar(select(func.count()).select_from(table)) == 1
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
