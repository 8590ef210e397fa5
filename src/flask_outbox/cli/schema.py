"""``flask outbox init``, ``upgrade`` and ``prune``: the outbox's tables."""

from __future__ import annotations

import sys

import click
from flask import Flask, current_app

from .. import signals
from ..errors import SchemaError
from ..humanize import counted
from ..outbox import REVISION, Outbox, Pruned, has_tables
from ..outbox.records import Act
from ..runtime import Runtime
from ..signals import emit
from .group import acting, app_runtime, json_option
from .output import print_document, say

PASSED_OVER = 'lambda name, kind, _: kind != "table" or not name.startswith("outbox_")'
"""What to write in an app for Alembic to ignore the outbox's tables."""


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Create the outbox's tables, unless they exist.

    An SQLite outbox does this automatically at first use. Safe to run again.
    """
    outbox = app_runtime().outbox
    database = outbox.database
    before = database.version()
    if before not in (None, REVISION):
        raise SchemaError(
            f"The outbox at {database.shown} has tables of version {before}, this "
            f"Flask-Outbox needs {REVISION}: run 'flask outbox upgrade'."
        )
    _bring_up(outbox, Act.INIT, before, as_json)
    if not as_json and _would_be_dropped(current_app):
        say(
            "This app has Flask-Migrate. To make 'flask db migrate' ignore the "
            f"outbox's tables, write: Migrate(app, db, include_name={PASSED_OVER})"
        )


@click.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Upgrade the outbox's tables to this version.

    An SQLite outbox does this automatically at first use. Safe to run again.
    """
    outbox = app_runtime().outbox
    database = outbox.database
    before = database.version()
    if before is None:
        raise SchemaError(
            f"The outbox at {database.shown} has no tables: run 'flask outbox init'."
        )
    _bring_up(outbox, Act.UPGRADE, before, as_json)


def _would_be_dropped(app: Flask) -> bool:
    """Whether Flask-Migrate would drop the outbox's tables in this app."""
    migrate = app.extensions.get("migrate")
    if migrate is None or "include_name" in migrate.configure_args:
        return False
    return not has_tables(migrate.db.metadata)


def _bring_up(outbox: Outbox, act: Act, before: str | None, as_json: bool) -> None:
    outbox.upgrade(act, acting())
    database = outbox.database
    after = database.version()
    if as_json:
        print_document({"outbox": database.shown, "before": before, "version": after})
    elif before == after:
        say(f"The outbox at {database.shown} is at version {after} already.")
    else:
        say(f"The outbox at {database.shown} is now at version {after}.")


@click.command()
@json_option
def prune(as_json: bool) -> None:
    """Delete finished messages whose retention has ended.

    The content is deleted after OUTBOX_KEEP_BODIES, the record and its history after
    OUTBOX_KEEP_ROWS, and lines of the audit trail after OUTBOX_KEEP_AUDIT. Couriers do
    this every hour.
    """
    runtime = app_runtime()
    if runtime.context.webhooks is not None:
        runtime.context.webhooks.queue_events()
    pruned = _prune(runtime)
    if pruned:
        emit(
            signals.outbox_pruned,
            runtime.sender,
            bodies=pruned.bodies,
            rows=pruned.rows,
            courier=None,
        )
    if as_json:
        print_document(pruned)
    else:
        bodies = counted(pruned.bodies, "message")
        rows = counted(pruned.rows, "message")
        say(f"Pruned the content of {bodies}, and the record of {rows}.")


def _prune(runtime: Runtime) -> Pruned:
    """Prune, with a progress bar on a terminal."""
    outbox = runtime.outbox
    ages = runtime.settings.keep_bodies, runtime.settings.keep_rows
    line = outbox.trail.note(acting(), Act.PRUNE, many=0)
    which = (*ages, runtime.settings.keep_audit, line)
    if not sys.stderr.isatty():
        return outbox.prune(*which)
    total, expected = Pruned(), _amount(outbox.prunable(*ages))
    with click.progressbar(length=expected, label="Pruning", file=sys.stderr) as bar:
        for step in outbox.prune_steps(*which):
            total += step
            bar.update(_amount(step))
    return total


def _amount(pruned: Pruned) -> int:
    return pruned.bodies + pruned.rows
