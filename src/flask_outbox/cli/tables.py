"""``flask outbox init`` and ``upgrade``: the outbox's tables."""

from __future__ import annotations

import click
from flask import Flask, current_app

from ..errors import SchemaError
from ..outbox import schema
from ..outbox.database import Database
from ..outbox.schema import REVISION
from .group import app_runtime, json_option
from .output import print_document, say

PASSED_OVER = 'lambda name, kind, _: kind != "table" or not name.startswith("outbox_")'
"""What a person writes for Alembic to leave the outbox's tables alone."""


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Make the outbox's tables, where there are none yet.

    An SQLite outbox does that by itself at first use. Safe to run again.
    """
    database = app_runtime().outbox.database
    before = database.version()
    if before not in (None, REVISION):
        raise SchemaError(
            f"The outbox at {database.shown} has tables of version {before}, this "
            f"Flask-Outbox needs {REVISION}: run 'flask outbox upgrade'."
        )
    _bring_up(database, before, as_json)
    if not as_json and _would_be_dropped(current_app):
        say(
            "This app has Flask-Migrate. So that 'flask db migrate' passes over the "
            f"outbox's tables, write: Migrate(app, db, include_name={PASSED_OVER})"
        )


@click.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the outbox's tables to the version that is needed.

    An SQLite outbox does that by itself at first use. Safe to run again.
    """
    database = app_runtime().outbox.database
    before = database.version()
    if before is None:
        raise SchemaError(
            f"The outbox at {database.shown} has no tables: run 'flask outbox init'."
        )
    _bring_up(database, before, as_json)


def _would_be_dropped(app: Flask) -> bool:
    """Whether Flask-Migrate takes the outbox's tables for leftovers in this app."""
    migrate = app.extensions.get("migrate")
    if migrate is None or "include_name" in migrate.configure_args:
        return False
    return schema.message.name not in migrate.db.metadata.tables


def _bring_up(database: Database, before: str | None, as_json: bool) -> None:
    database.upgrade()
    after = database.version()
    if as_json:
        print_document({"outbox": database.shown, "before": before, "version": after})
    elif before == after:
        say(f"The outbox at {database.shown} is at version {after} already.")
    else:
        say(f"The outbox at {database.shown} is now at version {after}.")
