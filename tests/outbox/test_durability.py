"""Durability: the settings of each database that make a commit durable."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from flask_outbox.outbox import Database

FULL, NORMAL = 2, 1


def ask(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.mark.parametrize(
    ("durability", "synchronous"), [("full", FULL), ("process", NORMAL)]
)
def test_a_commit_is_as_durable_as_promised(
    sqlite_url: str, durability: str, synchronous: int
) -> None:
    database = Database(sqlite_url, durability)
    settings = {"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 1}

    for _ in range(2):
        written = {
            name: database.write(lambda conn, name=name: ask(conn, name))  # type: ignore[misc]
            for name in settings
        }
        with database.reading() as connection:
            read = {name: ask(connection, name) for name in settings}
        assert written == read == settings
        database.close()


def test_full_durability_is_the_default(sqlite_url: str) -> None:
    database = Database(sqlite_url)

    assert database.write(lambda connection: ask(connection, "synchronous")) == FULL
    database.close()


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("durability", "setting"), [("full", "on"), ("process", "off")]
)
def test_postgresql_syncs_as_promised(url: str, durability: str, setting: str) -> None:
    database = Database(url, durability)
    show = "SHOW synchronous_commit"

    found = database.write(lambda connection: connection.exec_driver_sql(show).scalar())

    assert found == setting
    database.close()


def test_readers_do_not_wait_for_a_writer(sqlite_url: str) -> None:
    database = Database(sqlite_url)

    def read_while_writing(connection: Connection) -> object:
        connection.exec_driver_sql("DELETE FROM outbox_lane")
        with database.reading() as reader:
            return reader.exec_driver_sql("SELECT count(*) FROM outbox_lane").scalar()

    assert database.write(read_while_writing) == 0
    database.close()


def test_a_reader_sees_one_moment(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    count = "SELECT count(*) FROM outbox_lane"
    insert = "INSERT INTO outbox_lane (name, reason) VALUES ('default', 'because')"

    with database.reading() as reader:
        before = reader.exec_driver_sql(count).scalar()
        database.write(lambda connection: connection.exec_driver_sql(insert))
        assert reader.exec_driver_sql(count).scalar() == before == 0
    with database.reading() as reader:
        assert reader.exec_driver_sql(count).scalar() == 1
    database.close()


def test_closing_leaves_one_file(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    database.write(lambda connection: ask(connection, "journal_mode"))

    database.close()

    assert [one.name for one in tmp_path.iterdir()] == ["outbox.db"]
