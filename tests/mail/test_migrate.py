"""Flask-Migrate: the app's own migrations create the outbox's tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from flask_outbox import SchemaError, add_tables
from flask_outbox.outbox import Database
from flask_outbox.outbox.schema import OUTDATED, REVISION
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on

ROOT = Path(__file__).parents[2]


class Migrations:
    """A folder of migrations, and a process with the commands that work on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "migrations"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mail.migrating"],
            cwd=folder,
            env={**os.environ, "SHOP_URL": url, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def flask(self, *arguments: str) -> str:
        """What ``flask …`` says; it must succeed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        code, said = json.loads(self._process.stdout.readline())
        assert code == 0, said
        return str(said)

    def db(self, command: str) -> str:
        return self.flask("db", command, "--directory", str(self.folder))

    def files(self) -> list[Path]:
        return sorted((self.folder / "versions").glob("*.py"))

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def migrations(tmp_path: Path, bare_url: str) -> Iterator[Migrations]:
    """A database that the app's first migration has made."""
    with closing(Migrations(tmp_path, bare_url)) as migrations:
        migrations.db("init")
        migrations.db("migrate")
        migrations.db("upgrade")
        yield migrations


def test_the_apps_migrations_make_the_tables(
    migrations: Migrations, bare_url: str, make_site: MakeSite
):
    assert Database(bare_url).version() == REVISION

    assert "No changes in schema detected." in migrations.db("migrate")
    assert len(migrations.files()) == 1

    assert f"is at version {REVISION} already" in migrations.flask("outbox", "init")
    site = make_site(OUTBOX_URL=bare_url, OUTBOX_ENGINE="external")
    receipt = site.send(key="order-1")
    assert site.get(receipt).key == "order-1"
    assert "No changes in schema detected." in migrations.db("migrate")


def test_outdated_tables_of_the_app_are_an_error_that_names_flask_db(
    bare_url: str, make_site: MakeSite
):
    """They are the app's to change, and not the outbox's own migrations'."""
    apps = MetaData()
    add_tables(apps)
    with engine_on(bare_url) as engine:
        apps.create_all(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE outbox_lane DROP COLUMN reason")

    assert Database(bare_url).version() == OUTDATED
    site = make_site(OUTBOX_URL=bare_url, OUTBOX_ENGINE="external")
    with pytest.raises(SchemaError, match="run 'flask db migrate' and 'flask db upg"):
        site.send()
    with pytest.raises(SchemaError, match="made by the app's own migrations"):
        Database(bare_url).upgrade()
