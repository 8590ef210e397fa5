"""A temporary database for a benchmark, on a PostgreSQL or MariaDB server."""

from __future__ import annotations

import os

from _ways import Absent
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_UTF8 = {"postgresql": "", "mysql": " CHARACTER SET utf8mb4"}


class Database:
    """A temporary database, until it is closed."""

    def __init__(self, server: str, name: str) -> None:
        self.name = f"outbox_benchmark_{os.getpid()}_{name}"
        given = make_url(server)
        self.backend = given.get_backend_name().replace("mariadb", "mysql")
        at = given.set(drivername=_DRIVERS[self.backend])
        self.url: URL = at.set(database=self.name)
        self._engine = create_engine(at, isolation_level="AUTOCOMMIT")
        try:
            self._run(f"CREATE DATABASE {self.name}{_UTF8[self.backend]}")
        except SQLAlchemyError as error:
            raise Absent(f"no database server answers at {server} ({error})") from error

    def close(self) -> None:
        """Drop it."""
        force = " WITH (FORCE)" if self.backend == "postgresql" else ""
        self._run(f"DROP DATABASE {self.name}{force}")
        self._engine.dispose()

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)
