"""Databases for one test: one to move from, one to move to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

from tests.outbox import databases

PAIRS = [*permutations(databases.NAMES, 2), ("sqlite", "sqlite")]
"""From which database system to which."""

CYCLE = [
    ("sqlite", "postgresql"),
    ("postgresql", "mariadb"),
    ("mariadb", "sqlite"),
]
"""Each system once as the source and once as the target."""


@contextmanager
def place(name: str, role: str, folder: Path) -> Iterator[str]:
    """The URL of a database without tables; skips where there is no such server."""
    if name == "sqlite":
        yield f"sqlite:///{folder / f'{role}.db'}"
        return
    with databases._server(name) as server, server.connect() as connection:
        own = databases.own_name(role)
        forced = " WITH (FORCE)" if server.name == "postgresql" else ""
        connection.exec_driver_sql(f"CREATE DATABASE {own}")
        try:
            yield server.url.set(database=own).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {own}{forced}")
