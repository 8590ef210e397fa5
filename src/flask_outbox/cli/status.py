"""``flask outbox status``: the outbox at a glance, and whether it is healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from ..config import Settings
from ..delivery import State
from ..outbox.pulse import Pulse
from ..outbox.records import Status
from ..runtime import Runtime
from ..standing import standings
from ..words import counted, duration
from .group import app_runtime, json_option
from .lanes import lanes_shown
from .output import print_document, say
from .table import fields, table

RECENT = timedelta(hours=1)
"""How far back it is asked whether any mail got through."""

FAILURES = 5
"""So many that failed, and none that was sent, are no coincidence."""

PATIENCE_SECONDS = 60.0
"""A message that has been due for longer than this is waiting for something."""


_STARTS = {
    "thread": "the app or 'flask outbox worker'",
    "external": "'flask outbox worker'",
    "celery": "a worker of the app's Celery app",
}
"""What to start where no courier works, by the engine."""


@click.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show how many messages are in which state, and who delivers them.

    The exit code is 0 when all is well, 1 when mail is due and nobody delivers it or it
    has been due for more than a minute, when a transport is in trouble or all that was
    tried in the last hour has failed, and 2 when the outbox is out of reach.
    """
    runtime = app_runtime()
    found = runtime.outbox.status()
    now = datetime.fromtimestamp(runtime.outbox.clock(), UTC)
    pulse = runtime.outbox.pulse(now - RECENT, now, beats=1)
    problems = [*_problems(found, runtime.settings, now), *_failures(pulse)]
    if as_json:
        guard = runtime.outbox.guard
        place = {
            "outbox": runtime.outbox.database.shown,
            "guard": asdict(guard) if guard else None,
        }
        health = {"healthy": not problems, "problems": problems}
        lanes = [asdict(one) for one in standings(runtime.settings, found.lanes)]
        print_document({**place, **health, **asdict(found), "lanes": lanes})
    else:
        say("\n\n".join(_report(runtime, found, problems, now)))
    context.exit(1 if problems else 0)


def _problems(found: Status, settings: Settings, now: datetime) -> Iterator[str]:
    in_hand = sum(one.leased for one in found.couriers if one.alive)
    waiting = found.due + found.counts[State.LEASED] - in_hand
    if waiting > 0 and not any(one.alive for one in found.couriers):
        yield (
            f"No courier is alive to deliver {counted(waiting, 'message')}: "
            f"start {_STARTS[settings.engine]}."
        )
    for one in standings(settings, found.lanes):
        if one.leaves_by is None:
            yield (
                f"{counted(one.waiting, 'message')} cannot leave: no transport of this "
                f"app has the name {one.name!r}. Name one so in MAIL_TRANSPORTS, or "
                "cancel what waits for it."
            )
        if one.paused_by == "trouble":
            yield f"Lane {one.name} is down: {counted(one.waiting, 'message')} on it."
    for batch in found.moves:
        if (now - batch.departed_at).total_seconds() > PATIENCE_SECONDS:
            yield str(batch)
    if found.oldest_due_at is not None:
        seconds = (now - found.oldest_due_at).total_seconds()
        if seconds > PATIENCE_SECONDS:
            yield f"The oldest due message has waited for {duration(seconds)}."


def _failures(pulse: Pulse) -> Iterator[str]:
    """Mail is tried, and none gets through."""
    whole = pulse.whole
    if whole.sent or whole.failed < FAILURES:
        return
    most = max((one.count for one in pulse.troubles), default=0)
    words = next((one.words for one in pulse.troubles if one.count == most), "")
    yield (
        f"All that was tried in the last hour has failed, {whole.failed:,} messages"
        + (f": {words}" if words else ".")
    )


def _report(
    runtime: Runtime, found: Status, problems: list[str], now: datetime
) -> Iterator[str]:
    yield _header(runtime, found, now)
    counts = [(state, f"{count:,}") for state, count in found.counts.items() if count]
    yield table(("State", "Messages"), counts) if counts else "There are no messages."
    yield lanes_shown(standings(runtime.settings, found.lanes))
    yield _couriers(found, now) if found.couriers else "There are no couriers."
    yield "\n".join(problems) or "All is well."


def _header(runtime: Runtime, found: Status, now: datetime) -> str:
    due = counted(found.due, "message")
    if found.oldest_due_at is not None:
        due += f", the oldest for {_since(found.oldest_due_at, now)}"
    guard = runtime.outbox.guard
    return fields(
        [
            ("Outbox", runtime.outbox.database.shown),
            ("Engine", runtime.settings.engine),
            *([("Guard", str(guard))] if guard else []),
            ("Due now", due),
        ]
    )


def _couriers(found: Status, now: datetime) -> str:
    rows = [
        (
            one.id,
            one.engine,
            f"{one.pid} on {one.host}",
            f"{_since(one.seen_at, now)} ago",
            "alive" if one.alive else "dead",
            str(one.leased),
        )
        for one in found.couriers
    ]
    return table(("Courier", "Engine", "Process", "Last seen", "Is", "In hand"), rows)


def _since(at: datetime, now: datetime) -> str:
    return duration((now - at).total_seconds())
