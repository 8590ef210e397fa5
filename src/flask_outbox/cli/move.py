"""``flask outbox move``: move the outbox into another database while it is in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from flask import current_app

from ..config import EncryptionKey, as_encryption_keys, placed
from ..engines.shutdown import graceful_shutdown
from ..errors import ConfigError, OutboxUnavailable
from ..humanize import counted
from ..outbox import REVISION, Database, Outbox, check_url
from ..outbox.records import Act
from ..outbox.transfer import Carried, Left, Move, Step, TransferRun, Waiting
from ..runtime import Runtime
from .group import acting, app_runtime, json_option
from .output import print_document, progress, say

WAIT_SECONDS = 60.0
"""How long to wait for messages that are being delivered, by default."""


@click.command()
@click.option(
    "--to",
    "url",
    metavar="URL",
    required=True,
    envvar="OUTBOX_MOVE_TO",
    show_envvar=True,
    help="The target outbox: a URL as in OUTBOX_URL.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="Keep moving messages that are enqueued here, until Ctrl-C or SIGTERM.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="How many seconds to wait for messages that are being delivered.",
)
@click.option(
    "--to-keys",
    metavar="KEYS",
    envvar="OUTBOX_MOVE_TO_KEYS",
    show_envvar=True,
    help="The keys of the target, as in OUTBOX_ENCRYPTION_KEYS, or 'none'. By default "
    "those of this outbox.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be moved.")
@click.option(
    "--abandon",
    is_flag=True,
    help="Move nothing, and take back what an earlier move left half moved.",
)
@json_option
def move(
    url: str,
    to_keys: str | None,
    follow: bool,
    wait_seconds: float,
    dry_run: bool,
    abandon: bool,
    as_json: bool,
) -> None:
    """Move all messages to another outbox.

    Both outboxes may be in use meanwhile: each message is delivered once, from one or
    the other. Waiting messages move first, then finished ones, newest first; a message
    that is being delivered moves once it is deferred or finished. After a crash, run it
    again: it continues where it stopped. The exit code is 1 while messages are left
    here.
    """
    runtime = app_runtime()
    source, target = _outboxes(runtime, url, _keys_of_target(runtime, to_keys))
    try:
        if dry_run:
            _print_amounts(source, target, as_json)
        elif abandon:
            _abandon(source, target, as_json)
        else:
            hold = runtime.settings.on_unknown == "hold"
            run = TransferRun(source, target, hold_unknown=hold)
            messages = run.prepare()
            source.trail.note(acting(), Act.MOVE, target.database.shown, many=messages)
            _carry(run, messages, wait_seconds, follow=follow)
            _print_result(run, source, target, as_json)
    finally:
        source.database.close()
        target.database.close()


Keys = Sequence[EncryptionKey] | None


def _keys_of_target(runtime: Runtime, given: str | None) -> Keys:
    if given is None:
        return runtime.settings.encryption_keys
    try:
        return None if given == "none" else as_encryption_keys("--to-keys", given)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _outboxes(runtime: Runtime, url: str, keys: Keys) -> tuple[Outbox, Outbox]:
    """Both outboxes, with full durability.

    A power cut could otherwise undo a step after the next one was stored, and mail
    would be sent twice.
    """
    try:
        check_url(url, "--to")
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    here, there = runtime.settings.url, placed(url, current_app.instance_path)
    return (
        Outbox(Database(here, "full", keys=runtime.settings.encryption_keys)),
        Outbox(Database(there, "full", keys=keys, keys_from="--to-keys")),
    )


def _carry(
    run: TransferRun, messages: int, wait_seconds: float, *, follow: bool
) -> None:
    """Move messages until none is left or a signal comes, and show the progress."""
    with progress("Moving", messages) as advance, graceful_shutdown(run.stop):
        for step in run.steps(follow=follow, wait_seconds=wait_seconds):
            if isinstance(step, Carried):
                advance(step.messages)
            else:
                click.echo(_notice(step, wait_seconds), err=True)


def _notice(step: Step, wait_seconds: float) -> str:
    if isinstance(step, Waiting):
        leased = counted(step.leased, "message")
        return f"Waiting up to {wait_seconds:g} s for {leased} being delivered."
    if isinstance(step, OutboxUnavailable):
        return f"{step} Retrying."
    return "Following: Ctrl-C or SIGTERM stops."


def _print_result(
    run: TransferRun, source: Outbox, target: Outbox, as_json: bool
) -> None:
    here, there = source.database.shown, target.database.shown
    if as_json:
        print_document(
            {
                "from": here,
                "to": there,
                "carried": asdict(run.carried),
                "left": asdict(run.left),
                "ended": run.ended,
            }
        )
    else:
        say(f"Moved {_amounts(run)} from {here} to {there}.")
        if not run.left.messages:
            say(
                "Nothing is left here. Set OUTBOX_URL to the new one and restart the "
                "app and its workers; then run this again for messages that were "
                "enqueued in the meantime."
            )
    if run.left.messages:
        raise click.ClickException(f"{_left(run.left)}: run this again.")


def _amounts(run: TransferRun) -> str:
    carried = run.carried
    amounts = (
        f"{counted(carried.waiting, 'message')} to be delivered and "
        f"{carried.finished:,} finished"
    )
    if carried.cancelled:
        amounts += (
            f" ({carried.cancelled:,} cancelled, because a message there has the same "
            "key)"
        )
    return amounts


def _left(left: Left) -> str:
    return (
        f"{counted(left.messages, 'message')} left here, {left.leased:,} of them being "
        "delivered"
    )


def _abandon(source: Outbox, target: Outbox, as_json: bool) -> None:
    source.trail.note(acting(), Act.ABANDON_MOVE, target.database.shown)
    stayed, gone = Move(source, target).abandon()
    if as_json:
        print_document({"from": source.database.shown, "stayed": stayed, "gone": gone})
    else:
        say(
            f"{counted(stayed, 'message')} taken back into {source.database.shown}; "
            f"{gone:,} had already moved."
        )


def _print_amounts(source: Outbox, target: Outbox, as_json: bool) -> None:
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
    """Whether a database has tables. A missing SQLite file is not created by this."""
    path = Path(database.url.database or "")
    return (not database.embedded or path.exists()) and database.version() is not None
