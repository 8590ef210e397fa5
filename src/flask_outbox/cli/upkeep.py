"""``flask outbox prune``."""

from __future__ import annotations

import sys

import click

from .. import events
from ..outbox.pruning import Pruned
from ..runtime import Runtime
from ..words import counted
from .group import app_runtime, json_option
from .output import print_document, say


@click.command()
@json_option
def prune(as_json: bool) -> None:
    """Let go of finished messages that have been kept for long enough.

    The content goes after OUTBOX_KEEP_BODIES, the record and its story after
    OUTBOX_KEEP_ROWS. Couriers do this every hour.
    """
    runtime = app_runtime()
    pruned = _prune(runtime)
    if pruned:
        runtime.tell(
            events.outbox_pruned, bodies=pruned.bodies, rows=pruned.rows, courier=None
        )
    if as_json:
        print_document(pruned)
    else:
        bodies = counted(pruned.bodies, "message")
        rows = counted(pruned.rows, "message")
        say(f"Pruned the content of {bodies}, and the record of {rows}.")


def _prune(runtime: Runtime) -> Pruned:
    """Prune, with a progress bar where a person looks on."""
    outbox = runtime.outbox
    ages = runtime.settings.keep_bodies, runtime.settings.keep_rows
    if not sys.stderr.isatty():
        return outbox.prune(*ages)
    expected = _amount(outbox.prunable(*ages))
    with click.progressbar(length=expected, label="Pruning", file=sys.stderr) as bar:
        return outbox.prune(*ages, told=lambda step: bar.update(_amount(step)))


def _amount(pruned: Pruned) -> int:
    return pruned.bodies + pruned.rows
