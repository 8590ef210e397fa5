"""Outboxes on a database server, reached through a proxy that the test controls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from flask_outbox.outbox import Database
from tests.outbox.databases import SERVERS, is_required, own_name

from .proxy import Proxy

PORTS = {"postgresql": 5432, "mariadb": 3306}

_one_at_a_time = threading.Lock()
"""Those that make their tables in one process wait for each other in a transaction,
which PostgreSQL ends when it lasts too long on a busy machine.
"""


@contextmanager
def outbox_behind_proxy(server: str) -> Iterator[tuple[str, Proxy]]:
    """The ``OUTBOX_URL`` of an empty outbox, and the proxy that it leads through.

    Skips where the server is absent, fails where it is required.
    """
    engine = create_engine(
        SERVERS[server], poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    name = own_name("models")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError as error:
        (pytest.fail if is_required(server) else pytest.skip)(f"{server}: {error}")
    try:
        with Proxy(PORTS[server]) as proxy:
            url = engine.url.set(port=proxy.port, database=name)
            shown = url.render_as_string(hide_password=False)
            with _one_at_a_time:
                Database(shown).upgrade()
            yield shown, proxy
    finally:
        forced = " WITH (FORCE)" if engine.name == "postgresql" else ""
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{forced}")
