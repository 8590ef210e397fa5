"""``flask outbox init`` and ``upgrade``: the outbox's tables."""

from __future__ import annotations

import click

from ..errors import SchemaError
from ..outbox.database import Database
from ..outbox.schema import REVISION
from .group import app_runtime, json_option
from .output import print_document, say


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


def _bring_up(database: Database, before: str | None, as_json: bool) -> None:
    database.upgrade()
    after = database.version()
    if as_json:
        print_document({"outbox": database.shown, "before": before, "version": after})
    elif before == after:
        say(f"The outbox at {database.shown} is at version {after} already.")
    else:
        say(f"The outbox at {database.shown} is now at version {after}.")
