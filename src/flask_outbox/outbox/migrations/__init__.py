"""The outbox's tables through time: Alembic migrations, run on a given engine."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Engine

_ALONE = threading.Lock()
"""Alembic keeps the running migration in a global: one at a time in a process."""


class UnknownRevision(Exception):
    """The tables are of a version that these migrations do not know."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables behind ``engine`` to ``revision``, in one transaction.

    Safe to run from several processes at once, and again.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with _ALONE, engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise UnknownRevision(str(error)) from error
