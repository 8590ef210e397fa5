"""``flask outbox audit``: who did what."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from ..humanize import clock
from ..outbox.records import Act, AuditLine, AuditSearch, audit_target
from .group import app_runtime, json_option, limit_option
from .input import full_id, time_given
from .output import print_document, say, table

HEADINGS = ("When", "Who", "From", "What", "To what", "How many", "Note")

WHEN = "a time in ISO 8601 (UTC without an offset), or 90min, 2h, 3d ago"


@click.command()
@click.option("--message", metavar="ID", help="Only what was done to this message.")
@click.option(
    "--target",
    metavar="NAME",
    help="Only what was done to this batch, lane, webhook endpoint, or address.",
)
@click.option("--actor", metavar="NAME", help="Only what this person did.")
@click.option(
    "--act", type=click.Choice([one.value for one in Act]), help="Only this act."
)
@click.option("--since", metavar="TIME", help=f"Only from then on: {WHEN}.")
@click.option("--until", metavar="TIME", help=f"Only before then: {WHEN}.")
@limit_option
@click.option("--before", metavar="ID", help="Only lines older than this one.")
@json_option
def audit(
    message: str | None,
    target: str | None,
    actor: str | None,
    act: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """Show who did what on the dashboard, here and by the app; the newest first.

    Each line says who, from where, what and to what. Addresses are masked; --target
    finds an address that is given in full.
    """
    if message and target:
        raise click.UsageError("Give either --message or --target, not both.")
    outbox = app_runtime().outbox
    wanted = AuditSearch(
        target=full_id(outbox, message) if message else target and audit_target(target),
        actor=actor,
        act=Act(act) if act else None,
        since=_time(since, outbox.clock(), "--since"),
        until=_time(until, outbox.clock(), "--until"),
        before=before and before.upper(),
    )
    found = outbox.trail.find(wanted, limit)
    if as_json:
        print_document({"lines": found.lines, "older": found.older})
        return
    rows = [_row(one) for one in found.lines]
    say(table(HEADINGS, rows) if rows else "There are no such lines.")
    if found.older:
        say(f"\nOlder ones: --before {found.older}")


def _time(text: str | None, now: float, option: str) -> datetime | None:
    if text is None:
        return None
    return datetime.fromtimestamp(time_given(text, now, option), UTC)


def _row(one: AuditLine) -> tuple[str, ...]:
    return (
        clock(one.at),
        one.actor,
        one.face,
        one.act,
        one.target,
        f"{one.many:,}",
        one.note,
    )
