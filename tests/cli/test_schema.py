"""``flask outbox init``, ``upgrade`` and ``prune``."""

from __future__ import annotations

import os
import pty
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from flask_outbox import MessageNotFound, signals
from flask_outbox.outbox.schema import REVISION
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.mail.shop import engine_on

DAY = 86_400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the shop's outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
def shop(make_shop: MakeShop, file: Path) -> Shop:
    """A shop without tables."""
    return make_shop(OUTBOX_URL=f"sqlite:///{file}")


def set_version(file: Path, version: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE outbox_version SET version_num = ?", [version])


def test_init_creates_the_tables_and_may_be_repeated(shop: Shop, file: Path) -> None:
    said = shop.run("init").stdout
    assert said.endswith(f"outbox.db is now at version {REVISION}.\n")
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("outbox_message",) in found
    assert shop.run("init").stdout.endswith(f"is at version {REVISION} already.\n")
    assert shop.run("upgrade").stdout.endswith(f"is at version {REVISION} already.\n")


def test_init_says_how_to_keep_flask_migrate_from_dropping_tables(
    shop: Shop, file: Path
) -> None:
    assert "Migrate" not in shop.run("init").stdout
    shop.app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{file}"
    db = SQLAlchemy(shop.app)
    Migrate(shop.app, db)
    found = re.search(r"include_name=(lambda .+)\)\n", shop.run("init").stdout)
    assert found
    include_name = eval(found[1])
    with engine_on(f"sqlite:///{file}") as engine, engine.connect() as connection:
        for options, dropped in (({}, True), ({"include_name": include_name}, False)):
            context = MigrationContext.configure(connection, opts=options)
            changes = compare_metadata(context, db.metadata)
            assert bool(changes) is dropped
    Migrate(shop.app, db, include_name=include_name)
    assert "Migrate" not in shop.run("init").stdout


def test_init_does_not_upgrade(shop: Shop, file: Path) -> None:
    shop.run("init")
    set_version(file, "0000")
    error = shop.run("init", code=2).stderr
    assert "has tables of version 0000" in error
    assert "run 'flask outbox upgrade'" in error


def test_upgrade_does_not_create_tables(shop: Shop) -> None:
    assert (
        "has no tables: run 'flask outbox init'." in shop.run("upgrade", code=2).stderr
    )


def test_versions_are_printed_as_json(shop: Shop, file: Path) -> None:
    document = shop.document("init")
    assert (document["before"], document["version"]) == (None, REVISION)
    assert document["outbox"].endswith(str(file))
    document = shop.document("upgrade")
    assert (document["before"], document["version"]) == (REVISION, REVISION)


def test_prune_deletes_messages_after_their_retention(shop: Shop) -> None:
    told: list[dict[str, object]] = []

    def hear(_app: object, **payload: object) -> None:
        told.append(payload)

    sent, pending = shop.send(), shop.send(delay=365 * DAY)
    shop.deliver()
    with signals.outbox_pruned.connected_to(hear, sender=shop.app):
        assert shop.document("prune") == {"bodies": 0, "rows": 0}
        shop.outbox.clock = lambda: time.time() + 8 * DAY
        assert shop.document("prune") == {"bodies": 1, "rows": 0}
    assert told == [{"bodies": 1, "rows": 0, "courier": None}]
    assert shop.outbox.content(sent) is None
    shop.outbox.clock = lambda: time.time() + 91 * DAY
    assert shop.run("prune").stdout == (
        "Pruned the content of 0 messages, and the record of 1 message.\n"
    )
    with pytest.raises(MessageNotFound):
        shop.get(sent)
    assert shop.outbox.content(pending) is not None


def test_prune_shows_progress_on_a_terminal(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.send()
    shop.deliver()
    hasty = make_shop(OUTBOX_KEEP_BODIES=0.001, OUTBOX_KEEP_ROWS=0.001)
    screen, terminal = pty.openpty()
    with hasty.process("prune", stderr=terminal) as process:
        said = process.ended()
    os.close(terminal)
    shown = os.read(screen, 65_536).decode()
    os.close(screen)
    assert said == "Pruned the content of 1 message, and the record of 1 message.\n"
    assert "Pruning" in shown
    assert "100%" in shown
