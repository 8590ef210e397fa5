"""A PostgreSQL database of a benchmark's own."""

from __future__ import annotations

import os

from _ways import Absent
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError


class Database:
    """A PostgreSQL database of its own, for as long as it is open."""

    def __init__(self, server: str, name: str) -> None:
        self.name = f"outbox_benchmark_{os.getpid()}_{name}"
        self.url: URL = make_url(server).set(
            drivername="postgresql+psycopg", database=self.name
        )
        self._engine = create_engine(
            make_url(server).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
        )
        try:
            self._run(f"CREATE DATABASE {self.name}")
        except SQLAlchemyError as error:
            raise Absent(f"no PostgreSQL answers at {server} ({error})") from error

    def close(self) -> None:
        """Remove it."""
        self._run(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._engine.dispose()

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)
