"""A database for each test: what a killed process used is dropped, not cleaned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask_outbox.outbox import Database
from tests.outbox import databases

NAMES = databases.NAMES


@contextmanager
def outbox_on(name: str, folder: Path) -> Iterator[str]:
    """The URL of an outbox without messages; skips where there is no such server."""
    if name == "sqlite":
        databases.put_empty_outbox(folder / "outbox.db")
        yield f"sqlite:///{folder / 'outbox.db'}"
        return
    with databases._server(name) as server, server.connect() as connection:
        own = databases.own_name("crash")
        forced = " WITH (FORCE)" if server.name == "postgresql" else ""
        connection.exec_driver_sql(f"CREATE DATABASE {own}")
        try:
            url = server.url.set(database=own).render_as_string(hide_password=False)
            Database(url).upgrade()
            yield url
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {own}{forced}")
