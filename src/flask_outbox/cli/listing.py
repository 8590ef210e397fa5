"""``flask outbox list``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..delivery import State
from ..outbox.records import Summary
from ..words import duration
from .group import app_runtime, json_option, limit_option
from .output import print_document, say
from .table import table

HEADINGS = ("Id", "State", "Age", "Attempts", "To", "Subject")


@click.command("list")
@click.option(
    "--state",
    type=click.Choice([one.value for one in State]),
    help="Only in this state.",
)
@limit_option
@click.option("--before", metavar="ID", help="Only those handed over before this one.")
@json_option
def list_messages(
    state: str | None, limit: int, before: str | None, as_json: bool
) -> None:
    """Show the newest messages first."""
    outbox = app_runtime().outbox
    wanted = State(state) if state else None
    found = outbox.list(wanted, limit, before and before.upper())
    if as_json:
        print_document({"messages": found})
    elif found:
        say(table(HEADINGS, [_row(one, outbox.clock()) for one in found]))
        if len(found) == limit:
            say(f"\nOlder ones: --before {found[-1].id}")
    else:
        say("There are no messages.")
    if not as_json:
        for batch in outbox.moves():
            say(f"\n{batch}")


def _row(one: Summary, now: float) -> tuple[str, ...]:
    return (
        one.id,
        one.state,
        duration(now - one.enqueued_at.timestamp()),
        str(one.attempts),
        _everyone(one.recipients),
        one.subject,
    )


def _everyone(addresses: Sequence[str]) -> str:
    first, *others = addresses
    return f"{first} and {len(others)} more" if others else first
