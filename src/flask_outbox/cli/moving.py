"""``flask outbox move``: the outbox into another database, while it is in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from flask import current_app

from ..config import placed
from ..errors import ConfigError
from ..outbox.database import Database
from ..outbox.dialects import check_url
from ..outbox.moving import Left, Move
from ..outbox.schema import REVISION
from ..outbox.store import Outbox
from ..runtime import Runtime
from ..words import counted
from .group import app_runtime, json_option
from .journey import Journey
from .output import print_document, say

WAIT_SECONDS = 60.0
"""How long is waited for messages that are being delivered, unless it is said."""


@click.command()
@click.option(
    "--to",
    "url",
    metavar="URL",
    required=True,
    envvar="OUTBOX_MOVE_TO",
    show_envvar=True,
    help="Where to: a URL as in OUTBOX_URL.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="Go on carrying what is handed over here, until Ctrl-C or SIGTERM.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="For so many seconds wait for what is being delivered.",
)
@click.option("--dry-run", is_flag=True, help="Only say what there is to carry.")
@click.option(
    "--abandon",
    is_flag=True,
    help="Carry nothing, and take back what an earlier move left half moved.",
)
@json_option
def move(
    url: str,
    follow: bool,
    wait_seconds: float,
    dry_run: bool,
    abandon: bool,
    as_json: bool,
) -> None:
    """Carry all messages of this outbox into another, while both are in use.

    Each message is delivered by one or the other, and once. What waits goes first,
    then the history, newest first; what is being delivered goes once it is put off or
    finished. After a crash, run it again: it goes on where it was. The exit code is 1
    while messages are left here.
    """
    runtime = app_runtime()
    source, target = _outboxes(runtime, url)
    try:
        if dry_run:
            _say_what_there_is(source, target, as_json)
        elif abandon:
            _abandon(source, target, as_json)
        else:
            hold = runtime.settings.on_unknown == "hold"
            journey = Journey(source, target, wait_seconds, hold=hold)
            journey.run(follow=follow)
            _tell(journey, source, target, as_json)
    finally:
        source.database.close()
        target.database.close()


def _outboxes(runtime: Runtime, url: str) -> tuple[Outbox, Outbox]:
    """Both, written with full durability: a step that a power cut takes back after
    the next was kept would send mail twice.
    """
    try:
        check_url(url, "--to")
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    here, there = runtime.settings.url, placed(url, current_app.instance_path)
    return Outbox(Database(here, "full")), Outbox(Database(there, "full"))


def _tell(journey: Journey, source: Outbox, target: Outbox, as_json: bool) -> None:
    here, there = source.database.shown, target.database.shown
    if as_json:
        print_document(
            {
                "from": here,
                "to": there,
                "carried": asdict(journey.carried),
                "left": asdict(journey.left),
                "ended": journey.ended,
            }
        )
    else:
        say(f"Carried {_amounts(journey)} from {here} to {there}.")
        if not journey.left.messages:
            say(
                "Nothing is left here. Set OUTBOX_URL to the new one and restart the "
                "app and its workers; then run this again, for what came meanwhile."
            )
    if journey.left.messages:
        raise click.ClickException(f"{_left(journey.left)}: run this again.")


def _amounts(journey: Journey) -> str:
    carried = journey.carried
    amounts = (
        f"{counted(carried.waiting, 'message')} to be delivered and "
        f"{carried.finished:,} finished"
    )
    if carried.cancelled:
        amounts += (
            f" ({carried.cancelled:,} called off, since the same key was handed over "
            "there)"
        )
    return amounts


def _left(left: Left) -> str:
    return (
        f"{counted(left.messages, 'message')} left here, {left.leased:,} of them being "
        "delivered"
    )


def _abandon(source: Outbox, target: Outbox, as_json: bool) -> None:
    stayed, gone = Move(source, target).abandon()
    if as_json:
        print_document({"from": source.database.shown, "stayed": stayed, "gone": gone})
    else:
        say(
            f"{counted(stayed, 'message')} kept in {source.database.shown}; "
            f"{gone:,} had arrived, and left it."
        )


def _say_what_there_is(source: Outbox, target: Outbox, as_json: bool) -> None:
    moving = Move(source, target)
    left = moving.left()
    ready = _is_ready(target.database)
    if ready:
        moving.prepare()
    if as_json:
        places = {"from": source.database.shown, "to": target.database.shown}
        print_document({**places, "target_has_tables": ready, "left": asdict(left)})
        return
    say(
        f"The outbox at {source.database.shown} has "
        f"{counted(left.messages, 'message')}: {left.waiting:,} to be delivered, "
        f"{left.leased:,} being delivered, {left.finished:,} finished and "
        f"{left.moving:,} half moved."
    )
    tables = f"tables of version {REVISION}" if ready else "no tables yet"
    say(f"The outbox at {target.database.shown} has {tables}.")


def _is_ready(database: Database) -> bool:
    """Whether it has tables; a file that is not there is not made to find that out."""
    path = Path(database.url.database or "")
    return (not database.embedded or path.exists()) and database.version() is not None
