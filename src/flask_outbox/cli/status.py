"""``flask outbox status``: an overview of the outbox, and whether it is healthy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ..alerts import Alert
from ..config import Settings
from ..delivery import State
from ..humanize import counted, duration
from ..outbox import Stats
from ..outbox.records import EncryptionStatus, OutboxStatus
from ..recipient_guard import Guard
from ..runtime import Runtime
from ..status import LaneStatus, WebhookStatus, lane_statuses
from .group import app_runtime, json_option
from .lanes import lanes_shown
from .output import fields, print_document, printable, say, table
from .webhooks import endpoints_shown

RECENT = timedelta(hours=1)
"""The period in which mail should have been sent."""

FAILURES = 5
"""If this many messages failed and none was sent, it is a problem."""

PATIENCE_SECONDS = 60.0
"""A message due for longer than this is a problem."""


_STARTS = {
    "thread": "the app and send it a request, or start 'flask outbox worker'",
    "external": "'flask outbox worker'",
    "celery": "a worker of the app's Celery app",
}
"""What to start if no courier is alive, by engine."""


@click.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show the states of messages, lanes, couriers and webhook endpoints.

    The exit code is 0 if there is no problem, and 2 if the outbox cannot be reached. It
    is 1 if there is a problem, such as: mail is due and no courier is alive, mail has
    been due for more than a minute, a transport is down or missing, a webhook
    endpoint accepts none, every attempt of the last hour has failed, or there is an
    alert.
    """
    runtime = app_runtime()
    found = runtime.outbox.status(count_rows_left=True)
    now = datetime.fromtimestamp(runtime.outbox.clock(), UTC)
    stats = runtime.outbox.stats(now - RECENT, now, buckets=1)
    lanes = lane_statuses(
        runtime.settings, found.lanes, resolves=runtime.resolves_transports
    )
    endpoints = runtime.webhook_statuses()
    problems = [
        *_alerts(found.alerts, now),
        *_problems(found, runtime.settings, lanes, now),
        *_key_problems(found.encryption),
        *_failures(stats),
        *_webhook_problems(endpoints),
    ]
    if as_json:
        guard = runtime.outbox.guard
        place = {
            "outbox": runtime.outbox.database.shown,
            "guard": _guard_fields(guard) if guard else None,
        }
        health = {"healthy": not problems, "problems": problems}
        shown = {
            "lanes": [asdict(one) for one in lanes],
            "webhooks": [asdict(one) for one in endpoints],
        }
        print_document({**place, **health, **asdict(found), **shown})
    else:
        report = _report(runtime, found, lanes, endpoints, problems, now)
        say("\n\n".join(report))
    context.exit(1 if problems else 0)


def _problems(
    found: OutboxStatus, settings: Settings, lanes: Sequence[LaneStatus], now: datetime
) -> Iterator[str]:
    in_hand = sum(one.leased for one in found.couriers if one.alive)
    waiting = found.due + found.counts[State.LEASED] - in_hand
    if waiting > 0 and not any(one.alive for one in found.couriers):
        yield (
            f"No courier is alive to deliver {counted(waiting, 'message')}: "
            f"start {_STARTS[settings.engine]}."
        )
    for one in lanes:
        if one.leaves_by is None:
            yield (
                f"{counted(one.waiting, 'message')} cannot be sent: this app has no "
                f"transport {one.name!r}. Add it to MAIL_TRANSPORTS, or cancel the "
                "messages."
            )
        if one.paused_by == "trouble":
            yield f"Lane {one.name} is down: {counted(one.waiting, 'message')} waiting."
    for state, count in found.unreadable.items():
        yield (
            f"{counted(count, 'message')} cannot be read: the state {state!r} is not "
            "known to this version. Restore the outbox from a backup, or upgrade."
        )
    for batch in found.moves:
        if (now - batch.departed_at).total_seconds() > PATIENCE_SECONDS:
            yield str(batch)
    if found.oldest_due_at is not None:
        seconds = (now - found.oldest_due_at).total_seconds()
        if seconds > PATIENCE_SECONDS:
            yield f"The oldest due message has waited for {duration(seconds)}."


def _alerts(alerts: Sequence[Alert], now: datetime) -> Iterator[str]:
    for one in alerts:
        yield f"Alert, for {_since(one.began_at, now)}: {one.words}"


def _guard_fields(guard: Guard) -> dict[str, Any]:
    return {"only_to": guard.only_to, "redirect_to": guard.redirect_to}


def _key_problems(encryption: EncryptionStatus | None) -> Iterator[str]:
    """The keys without which something may not be readable."""
    for key in encryption.missing_keys if encryption else ():
        yield (
            f"Something may be encrypted with the key {key!r}, which is not in "
            "OUTBOX_ENCRYPTION_KEYS: put it back there, after the first, until 'flask "
            "outbox rekey' has run."
        )


def _webhook_problems(endpoints: Sequence[WebhookStatus]) -> Iterator[str]:
    """The webhook endpoints that do not take any, but for what people paused."""
    for one in endpoints:
        if one.paused_by in ("trouble", "gone"):
            waiting = counted(one.waiting, "webhook")
            yield printable(
                f"{waiting} waiting for {one.name}, which accepts none: {one.reason}."
            )


def _failures(stats: Stats) -> Iterator[str]:
    """The problem that every attempt fails."""
    whole = stats.whole
    if whole.sent or whole.failed < FAILURES:
        return
    most = max((one.count for one in stats.troubles), default=0)
    words = next((one.words for one in stats.troubles if one.count == most), "")
    yield (
        f"Every attempt of the last hour has failed, {whole.failed:,} messages"
        + (f": {words}" if words else ".")
    )


def _report(
    runtime: Runtime,
    found: OutboxStatus,
    lanes: Sequence[LaneStatus],
    endpoints: Sequence[WebhookStatus],
    problems: list[str],
    now: datetime,
) -> Iterator[str]:
    yield _header(runtime, found, now)
    counts = [(state, f"{count:,}") for state, count in found.counts.items() if count]
    yield table(("State", "Messages"), counts) if counts else "There are no messages."
    if found.fates:
        fates = [(fate.words, f"{count:,}") for fate, count in found.fates.items()]
        yield table(("Fate of the last day's mail", "Recipients"), fates)
    yield lanes_shown(lanes)
    if endpoints:
        yield endpoints_shown(endpoints)
    yield _couriers(found, now) if found.couriers else "There are no couriers."
    yield "\n".join(problems) or "No problems."


def _header(runtime: Runtime, found: OutboxStatus, now: datetime) -> str:
    due = counted(found.due, "message")
    if found.oldest_due_at is not None:
        due += f", the oldest for {_since(found.oldest_due_at, now)}"
    guard = runtime.outbox.guard
    return fields(
        [
            ("Outbox", runtime.outbox.database.shown),
            ("Engine", runtime.settings.engine),
            *([("Guard", str(guard))] if guard else []),
            *([("Encryption", _keys(found.encryption))] if found.encryption else []),
            ("Due now", due),
            *(
                [("Reports", _waiting_reports(found))]
                if found.unmatched_reports
                else []
            ),
        ]
    )


def _keys(found: EncryptionStatus) -> str:
    """The key that encrypts, and what is left to do until it is the only one."""
    parts = [f"key {found.key}"]
    if found.clear:
        parts.append("something may be in the clear")
    if found.old_keys:
        parts.append(f"something may need the old key {', '.join(found.old_keys)}")
    if found.rows_left == 0 and len(parts) == 1:
        parts.append("no row needs another key: the others can be removed")
    elif found.rows_left is not None:
        parts.append(f"{counted(found.rows_left, 'row')} left to encrypt")
        parts.append("'flask outbox rekey' does that")
    return "; ".join(parts)


def _waiting_reports(found: OutboxStatus) -> str:
    wait = "waits" if found.unmatched_reports == 1 else "wait"
    return f"{counted(found.unmatched_reports, 'report')} {wait} for a message"


def _couriers(found: OutboxStatus, now: datetime) -> str:
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
    return table(("Courier", "Engine", "Process", "Last seen", "State", "Leased"), rows)


def _since(at: datetime, now: datetime) -> str:
    return duration((now - at).total_seconds())
