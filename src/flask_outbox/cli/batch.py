"""``flask outbox batch``: how batches stand, and what a person may do to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from .. import many
from ..many import Batches
from ..outbox.batch_records import BatchRecord, BatchState, Failure
from ..words import clock, counted, duration
from .group import app_runtime, json_option, limit_option
from .ids import full_batch_id
from .output import print_document, say
from .progress import progress
from .table import fields, table

HEADINGS = ("Id", "Name", "State", "Age", "Rows", "Finished")

FAILURES_TOLD = 10
"""Failures that are shown beside a batch; the report has all."""

LOOK_SECONDS = 0.5
"""How often `show --follow` looks."""

UNDER_WAY = {BatchState.ENQUEUEING, BatchState.SENDING}


@click.group("batch")
def batch() -> None:
    """See and stop what was sent to many."""


id_argument = click.argument("id")


@batch.command("list")
@limit_option
@json_option
def list_batches(limit: int, as_json: bool) -> None:
    """Show the newest batches first."""
    runtime = app_runtime()
    found = runtime.batches.ledger.newest(limit)
    if as_json:
        print_document({"batches": [_document(one) for one in found]})
    elif found:
        now = runtime.outbox.clock()
        say(table(HEADINGS, [_line(one, now) for one in found]))
    else:
        say("There are no batches.")


def _line(one: BatchRecord, now: float) -> tuple[str, ...]:
    return (
        one.id,
        one.name,
        one.state,
        duration(now - one.began_at.timestamp()),
        f"{one.kept:,}",
        f"{one.finished:,}",
    )


def _document(one: BatchRecord) -> dict[str, Any]:
    return {**asdict(one), "finished": one.finished, "progress": one.progress}


@batch.command()
@id_argument
@click.option("--follow", is_flag=True, help="Show a bar until it is done or stopped.")
@json_option
def show(id: str, follow: bool, as_json: bool) -> None:
    """Show how a batch stands.

    ID is the batch's id, or as much of its beginning as no other batch has.
    """
    batches = app_runtime().batches
    id = full_batch_id(batches, id)
    if follow:
        _follow(batches, id)
    _show(batches, id, as_json)


def _follow(batches: Batches, id: str) -> None:
    found = batches.ledger.get(id)
    finished = 0
    with progress("Sending", max(found.total or 0, found.kept)) as advance:
        while True:
            advance(found.finished - finished)
            finished = found.finished
            if found.state not in UNDER_WAY:
                return
            time.sleep(LOOK_SECONDS)
            found = batches.ledger.get(id)


def _show(batches: Batches, id: str, as_json: bool) -> None:
    found = batches.ledger.get(id)
    if as_json:
        print_document(_document(found))
        return
    failures = list(islice(batches.ledger.failures(id), FAILURES_TOLD + 1))
    say("\n\n".join(_report(found, failures)))


def _report(found: BatchRecord, failures: list[Failure]) -> Iterator[str]:
    yield _header(found)
    if found.counts:
        counts = [(state, f"{count:,}") for state, count in found.counts.items()]
        yield table(("State", "Messages"), counts)
    if failures:
        yield table(
            ("Row", "Recipient", "State", "Last reply"),
            [
                (f"{one.row:,}", one.address, one.state, one.reply)
                for one in failures[:FAILURES_TOLD]
            ],
        )
    if len(failures) > FAILURES_TOLD:
        yield f"There are more: 'flask outbox batch report {found.id}' has all."


def _header(found: BatchRecord) -> str:
    rate = found.per_second(datetime.now(UTC))
    rows = f"{found.kept:,}"
    if found.total is not None and found.total > found.kept:
        rows += f" of {found.total:,}"
    lines = {
        "Batch": found.id,
        "Name": found.name,
        "State": found.state,
        "Rows": rows,
        "Finished": f"{found.finished:,} ({found.progress:.0%})",
        "Rate": f"{rate:,.1f} a second" if found.state in UNDER_WAY else "",
        "Tag": found.tag or "",
        "Key": found.key or "",
        "Began": clock(found.began_at),
        "All kept": clock(found.ended_at) if found.ended_at else "",
        "Paused": clock(found.paused_at) if found.paused_at else "",
        "Cancelled": clock(found.cancelled_at) if found.cancelled_at else "",
        "Broke off": found.error or "",
    }
    return fields([(name, value) for name, value in lines.items() if value])


@batch.command()
@id_argument
def report(id: str) -> None:
    """Print who did not get it and why, as CSV."""
    batches = app_runtime().batches
    for line in many.report(batches.ledger.failures(full_batch_id(batches, id))):
        click.echo(line.encode(), nl=False)


Change = Callable[[Batches, str], object]


def _command(name: str, change: Change, done: str, help: str) -> None:
    @batch.command(name, help=help)
    @id_argument
    @json_option
    def command(id: str, as_json: bool) -> None:
        batches = app_runtime().batches
        id = full_batch_id(batches, id)
        change(batches, id)
        found = batches.ledger.get(id)
        if as_json:
            print_document(_document(found))
        else:
            say(f"Batch {id} {done}: {_in_states(found)}.")


def _in_states(found: BatchRecord) -> str:
    counts = [f"{count:,} {state}" for state, count in found.counts.items()]
    return ", ".join(counts) or counted(0, "message")


_command(
    "pause",
    Batches.pause,
    "is paused",
    "Let nothing of a batch leave, on any machine, until it is resumed.",
)
_command("resume", Batches.resume, "goes on", "Let a paused batch go on.")
_command(
    "cancel",
    Batches.cancel,
    "is cancelled",
    "Take all of a batch out that has not left, for good.",
)
