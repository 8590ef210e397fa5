"""The databases that this suite runs on; each session creates its own."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, delete, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from flask_outbox.outbox import Database
from flask_outbox.outbox.schema import metadata

SERVERS = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1/postgres",
    "mariadb": "mysql+pymysql://root@127.0.0.1/",
}
"""The URL of each server; test machines require no password."""

NAMES = ("sqlite", *SERVERS)


def own_name(purpose: str) -> str:
    """A unique name for a database, which no killed run has left behind."""
    return f"outbox_{purpose}_{os.getpid()}_{secrets.token_hex(3)}"


class Home(Protocol):
    """A database system on which outboxes are created."""

    def bare(self, folder: Path) -> AbstractContextManager[str]:
        """The URL of a database without tables."""

    def empty(self, folder: Path) -> AbstractContextManager[Database]:
        """An outbox without messages, which others had before."""

    def new(self, folder: Path) -> AbstractContextManager[str]:
        """The URL of an outbox of its own, for processes that will be killed."""


FindHome = Callable[[str], Home]
"""Finds the home of this name, which is open until the run ends."""


@contextmanager
def opened(name: str) -> Iterator[Home]:
    """The home ``name``; skips where it is absent, fails where it is required."""
    if name == "sqlite":
        yield SqliteHome()
        return
    with _server(name) as server, ServerHome(server).kept() as home:
        yield home


def is_required(name: str) -> bool:
    """Whether ``OUTBOX_TEST_REQUIRE`` names it."""
    named = os.environ.get("OUTBOX_TEST_REQUIRE", "").replace(" ", "").split(",")
    return name in named or "all" in named


def need_driver(name: str, module: str) -> None:
    """Skip, or fail where it is required, without the driver of the server ``name``."""
    try:
        import_module(module)
    except ImportError as error:
        _absent(name, f"{name} cannot be used: {error}")


@contextmanager
def _server(name: str) -> Iterator[Engine]:
    try:
        engine = create_engine(
            SERVERS[name], poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        engine.connect().close()
    except (ImportError, OperationalError) as error:
        _absent(name, f"{name} cannot be used: {error}")
    yield engine


def _absent(name: str, reason: str) -> None:
    if is_required(name):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def put_empty_outbox(file: Path) -> None:
    """Create an empty SQLite outbox, as an app's first start leaves it.

    It is copied, because creating one takes longer than most tests.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(_empty_outbox())


@cache
def _empty_outbox() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.db"
        database = Database(f"sqlite:///{file}")
        database.upgrade()
        database.close()
        return file.read_bytes()


class SqliteHome:
    """Files."""

    @contextmanager
    def bare(self, folder: Path) -> Iterator[str]:
        yield f"sqlite:///{folder / 'outbox.db'}"

    @contextmanager
    def empty(self, folder: Path) -> Iterator[Database]:
        put_empty_outbox(folder / "outbox.db")
        database = Database(f"sqlite:///{folder / 'outbox.db'}")
        yield database
        database.close()

    @contextmanager
    def new(self, folder: Path) -> Iterator[str]:
        put_empty_outbox(folder / "outbox.db")
        yield f"sqlite:///{folder / 'outbox.db'}"


class ServerHome:
    """One database of a server, kept open, and emptied before each test."""

    def __init__(self, server: Engine) -> None:
        self._server = server
        self._name = own_name("test")
        self._template = f"{self._name}_template"
        self._outbox = Database(_named(server.url, self._name))

    @contextmanager
    def kept(self) -> Iterator[ServerHome]:
        """Within, it is there. Its tables are made once, and copied: that is faster."""
        with self._database(self._template):
            template = Database(_named(self._server.url, self._template))
            template.upgrade()
            template.close()
            with self._database(self._name, copied=True):
                yield self
                self._outbox.close()

    @contextmanager
    def bare(self, folder: Path) -> Iterator[str]:
        with self._database(f"{self._name}_bare"):
            yield _named(self._server.url, f"{self._name}_bare")

    @contextmanager
    def empty(self, folder: Path) -> Iterator[Database]:
        with self._outbox.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        yield self._outbox

    @contextmanager
    def new(self, folder: Path) -> Iterator[str]:
        name = own_name("new")
        with self._database(name, copied=True):
            yield _named(self._server.url, name)

    @contextmanager
    def _database(self, name: str, *, copied: bool = False) -> Iterator[None]:
        create = _CREATE[self._server.name] if copied else _create_bare
        with self._server.connect() as connection:
            create(connection, name, self._template)
        try:
            yield
        finally:
            forced = " WITH (FORCE)" if self._server.name == "postgresql" else ""
            with self._server.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name}{forced}")


def _create_bare(connection: Connection, name: str, _template: str) -> None:
    connection.exec_driver_sql(f"CREATE DATABASE {name}")


def _copy_on_postgresql(connection: Connection, name: str, template: str) -> None:
    connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")


def _copy_on_mariadb(connection: Connection, name: str, template: str) -> None:
    run = connection.exec_driver_sql
    tables = run(f"SHOW TABLES FROM {template}").scalars().all()
    run(f"CREATE DATABASE {name}")
    run(f"USE {name}")
    run("SET foreign_key_checks = 0")
    for table in tables:
        (_, create) = run(f"SHOW CREATE TABLE {template}.{table}").one()
        run(create)
        run(f"INSERT INTO {table} SELECT * FROM {template}.{table}")


_CREATE = {"postgresql": _copy_on_postgresql, "mysql": _copy_on_mariadb}


def _named(server: URL, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
