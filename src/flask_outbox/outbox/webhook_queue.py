"""The queue of webhooks: claims, the ends of attempts, and pauses of endpoints.

A webhook that is being sent stays *pending*, and is due again when its lease has run
out. Its number of attempts is its fencing token. An endpoint's row is locked while
webhooks are claimed for it or their ends recorded, so couriers take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    case,
    delete,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.engine import Row

from ..alerts import AlertNews
from ..delivery import storable
from ..limits import CHANCE
from ..webhooks.kinds import TEST
from .ids import new_id
from .read import moment
from .records import WebhookEndpointRecord, WebhookRecord, WebhookState
from .schema import webhook, webhook_endpoint
from .sealed import insert_sealed, query, seal
from .statements import RowsUpdate
from .webhook_feed import body_of

LEASE_SECONDS = 120.0
"""How long a courier has for a request and its record; the request takes a fraction."""

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The waits after each attempt that failed, as Standard Webhooks suggests them."""

JITTER = 0.2
"""The share by which a wait is longer or shorter, by chance."""

FAILURES_BEFORE_PAUSE = 5
"""An endpoint is paused after so many failures in a row."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 1_800.0
"""How long it is then left alone before it is probed with one webhook; the pause
doubles with each probe that fails."""

DELETED_AT_ONCE = 500
"""The most webhooks that one transaction deletes, so that it is short."""

PENDING, DONE, FAILED = (
    WebhookState.PENDING.value,
    WebhookState.DONE.value,
    WebhookState.FAILED.value,
)


@dataclass(frozen=True, slots=True)
class WebhookClaim:
    """A webhook that is this courier's to send until its lease runs out."""

    endpoint: str
    id: str
    body: str
    attempt: int
    probe: bool = False
    """Whether it tries an endpoint that is paused after failures."""


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """What came of sending one webhook."""

    claim: WebhookClaim
    status: int | None
    """The status of the reply; None if there was none."""
    error: str | None
    """Why the endpoint has not taken it; None if it has."""
    gone: bool = False
    """Whether the endpoint wants no more webhooks at all."""
    tried: bool = True
    """False if it was not sent: then it is due again at once."""


@dataclass(frozen=True, slots=True)
class Pause:
    """That an endpoint is paused, and why; or open again, with ``by`` None."""

    by: str | None
    reason: str


# Sending


def anything_due(connection: Connection, endpoint: str, now: float) -> bool:
    """Whether `claim` would find something."""
    row = _endpoint(connection, endpoint)
    if row is None or row.paused_by in ("person", "gone"):
        return False
    if row.paused_until is not None and row.paused_until > now:
        return False
    due_at = connection.scalar(
        select(func.min(webhook.c.due_at)).where(
            webhook.c.endpoint == endpoint, webhook.c.state == PENDING
        )
    )
    return due_at is not None and due_at <= now


def claim(
    connection: Connection, endpoint: str, limit: int, now: float
) -> list[WebhookClaim]:
    """Lease up to ``limit`` due webhooks of an endpoint.

    One while it is paused after failures and its next probe is due; none while it is
    paused by a person or gone.
    """
    paused = _locked(connection, endpoint)
    if paused is None or paused.paused_by in ("person", "gone"):
        return []
    probe = paused.paused_by is not None
    if probe and paused.paused_until > now:
        return []
    rows = query(
        connection,
        select(*webhook.c["id", "body", "attempts"])
        .where(
            webhook.c.endpoint == endpoint,
            webhook.c.state == PENDING,
            webhook.c.due_at <= now,
        )
        .order_by(webhook.c.due_at, webhook.c.id)
        .limit(1 if probe else limit),
    ).all()
    if probe and rows:
        _set(connection, endpoint, paused_until=now + LEASE_SECONDS)
    connection.execute(
        update(webhook)
        .where(webhook.c.endpoint == endpoint, webhook.c.id.in_([r.id for r in rows]))
        .values(attempts=webhook.c.attempts + 1, due_at=now + LEASE_SECONDS)
    )
    return [WebhookClaim(endpoint, r.id, r.body, r.attempts + 1, probe) for r in rows]


_ends = RowsUpdate(
    webhook,
    keys=("endpoint", "id"),
    values=("state", "due_at", "attempts", "status", "error", "finished_at"),
)


def record(
    connection: Connection,
    endpoint: str,
    attempts: Sequence[WebhookAttempt],
    now: float,
    roll: Callable[[], float] = CHANCE.random,
) -> Pause | None:
    """Record what came of ``attempts``, but for claims that others have now.

    An endpoint that takes one is open again; one that is gone, or has failed too often
    in a row, is paused. Returns what has changed in that.
    """
    before = _locked(connection, endpoint)
    held = _held(connection, endpoint, attempts)
    ours = [one for one in attempts if held.get(one.claim.id) == one.claim.attempt]
    _ends.run(connection, [_end(one, now, roll) for one in ours])
    tried = [one for one in ours if one.tried]
    if before is None or not tried:
        return None
    if any(one.gone for one in tried):
        return _pause(connection, before, "gone", now, GONE)
    if all(one.error is not None for one in tried):
        return _count_failures(connection, before, tried, now, roll)
    if before.paused_by == "trouble":
        resume(connection, endpoint, now)
        return Pause(None, "")
    if before.failures:
        _set(connection, endpoint, failures=0)
    return None


GONE = "it answered 410 Gone: it wants no more"


def _count_failures(
    connection: Connection,
    before: Row[Any],
    failed: Sequence[WebhookAttempt],
    now: float,
    roll: Callable[[], float],
) -> Pause | None:
    """Pause the endpoint if it has failed too often; longer with each failed probe.

    Others that were under way when it was paused say nothing new.
    """
    paused = before.paused_by == "trouble"
    counted = [one for one in failed if one.claim.probe or not paused]
    failures = before.failures + len(counted)
    _set(connection, before.name, failures=failures)
    if before.paused_by in ("person", "gone") or not counted:
        return None
    if failures < FAILURES_BEFORE_PAUSE:
        return None
    probes = max(0, failures - FAILURES_BEFORE_PAUSE) if paused else 0
    wait = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(probes, 32))
    until = now + wait * (1 - JITTER + 2 * JITTER * roll())
    return _pause(connection, before, "trouble", now, failed[-1].error or "", until)


def _end(
    one: WebhookAttempt, now: float, roll: Callable[[], float]
) -> Mapping[str, Any]:
    done = one.error is None and one.tried
    due_at = now
    if one.tried and not done:
        wait = RETRY_SECONDS[min(one.claim.attempt, len(RETRY_SECONDS)) - 1]
        due_at += wait * (1 - JITTER + 2 * JITTER * roll())
    return {
        "endpoint": one.claim.endpoint,
        "id": one.claim.id,
        "state": DONE if done else PENDING,
        "due_at": due_at,
        "attempts": one.claim.attempt if one.tried else one.claim.attempt - 1,
        "status": one.status,
        "error": storable(one.error) if one.error else None,
        "finished_at": now if done else None,
    }


def _held(
    connection: Connection, endpoint: str, attempts: Sequence[WebhookAttempt]
) -> Mapping[str, int]:
    """The numbers of attempts of those webhooks that are still pending."""
    rows = connection.execute(
        select(*webhook.c["id", "attempts"])
        .where(
            webhook.c.endpoint == endpoint,
            webhook.c.id.in_([one.claim.id for one in attempts]),
            webhook.c.state == PENDING,
        )
        .with_for_update()
    )
    return {row.id: row.attempts for row in rows}


def give_up(connection: Connection, endpoint: str, now: float) -> int:
    """Fail webhooks that were tried for long enough; how many.

    Not one that may be being sent: its lease is not over.
    """
    done = connection.execute(
        update(webhook)
        .where(
            webhook.c.endpoint == endpoint,
            webhook.c.state == PENDING,
            webhook.c.give_up_at <= now,
            or_(webhook.c.due_at <= now, webhook.c.due_at > now + LEASE_SECONDS),
        )
        .values(
            state=FAILED,
            finished_at=now,
            error=func.coalesce(webhook.c.error, "the endpoint was paused"),
        )
    )
    return done.rowcount


def forget_finished(connection: Connection, before: float) -> int:
    """Delete some of the webhooks that were finished ``before``; how many."""
    rows = connection.execute(
        select(*webhook.c["endpoint", "id"])
        .where(webhook.c.finished_at < before)
        .limit(DELETED_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for endpoint in {row.endpoint for row in rows}:
        ids = [row.id for row in rows if row.endpoint == endpoint]
        connection.execute(
            delete(webhook).where(webhook.c.endpoint == endpoint, webhook.c.id.in_(ids))
        )
    return len(rows)


# Endpoints


def _endpoint(connection: Connection, name: str) -> Row[Any] | None:
    wanted = select(webhook_endpoint).where(webhook_endpoint.c.name == name)
    return connection.execute(wanted).first()


def _locked(connection: Connection, name: str) -> Row[Any] | None:
    wanted = select(webhook_endpoint).where(webhook_endpoint.c.name == name)
    return connection.execute(wanted.with_for_update()).first()


def _set(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.name == name)
        .values(seal(connection, webhook_endpoint, name, values))
    )


def _pause(
    connection: Connection,
    before: Row[Any],
    by: str,
    now: float,
    reason: str,
    until: float | None = None,
) -> Pause | None:
    """Pause an endpoint; returns that, unless it was paused for the same before."""
    again = before.paused_by == by
    _set(
        connection,
        before.name,
        paused_by=by,
        paused_at=before.paused_at if again else now,
        paused_until=until,
        reason=storable(reason),
    )
    return None if again else Pause(by, reason)


def pause(connection: Connection, name: str, reason: str, now: float) -> None:
    """Pause an endpoint for a person, until `resume`."""
    before = _locked(connection, name)
    if before is not None:
        _pause(connection, before, "person", now, reason)


def resume(connection: Connection, name: str, now: float) -> None:
    """End any pause of an endpoint; what waits for a later attempt is due now.

    But for what may be being sent, and is due soon anyway.
    """
    _set(
        connection,
        name,
        failures=0,
        paused_by=None,
        paused_at=None,
        paused_until=None,
        reason=None,
    )
    connection.execute(
        update(webhook)
        .where(
            webhook.c.endpoint == name,
            webhook.c.state == PENDING,
            webhook.c.due_at > now + LEASE_SECONDS,
        )
        .values(due_at=now)
    )


# Replay and tests


def replay(
    connection: Connection,
    endpoint: str,
    now: float,
    give_up_seconds: float,
    since: float | None,
) -> int:
    """Queue webhooks again that failed or, with ``since``, all that were queued from
    then on and are finished; how many. Their ids stay.
    """
    wanted = webhook.c.state == FAILED
    if since is not None:
        wanted = (webhook.c.state != PENDING) & (webhook.c.queued_at >= since)
    done = connection.execute(
        update(webhook)
        .where(webhook.c.endpoint == endpoint, wanted)
        .values(
            state=PENDING,
            due_at=now,
            give_up_at=now + give_up_seconds,
            attempts=0,
            status=None,
            error=None,
            finished_at=None,
        )
    )
    return done.rowcount


def add_test(
    connection: Connection, endpoint: str, now: float, give_up_seconds: float
) -> str:
    """Queue a webhook that only tries the endpoint; its id."""
    id = f"test_{new_id()}"
    row = {
        "endpoint": endpoint,
        "id": id,
        "kind": TEST,
        "body": body_of("outbox.test", now, {"endpoint": endpoint}),
        "queued_at": now,
        "due_at": now,
        "give_up_at": now + give_up_seconds,
        "attempts": 0,
        "state": PENDING,
    }
    insert_sealed(connection, webhook, row)
    return id


def add_alert(
    connection: Connection,
    endpoints: Iterable[str],
    news: AlertNews,
    now: float,
    give_up_seconds: float,
) -> None:
    """Queue a webhook for each of these endpoints that tells the news of an alert."""
    alert = news.alert
    data = {
        "alert_id": alert.id,
        "alert": alert.kind,
        "lane": alert.lane,
        "words": alert.words,
        "began_at": alert.began_at.isoformat(timespec="milliseconds"),
    }
    told = body_of(news.kind.replace("_", "."), news.at.timestamp(), data)
    rows = [
        {
            "endpoint": name,
            "id": news.id,
            "kind": news.kind,
            "body": told,
            "queued_at": now,
            "due_at": now,
            "give_up_at": now + give_up_seconds,
            "attempts": 0,
            "state": PENDING,
        }
        for name in endpoints
    ]
    insert_sealed(connection, webhook, *rows)


# Reading


def endpoints(
    connection: Connection, names: Sequence[str]
) -> list[WebhookEndpointRecord]:
    """The endpoints with these names, in this order; a new one may be unknown yet."""
    rows = {row.name: row for row in query(connection, select(webhook_endpoint))}
    counts = {
        (row.endpoint, row.state): row.number
        for row in connection.execute(
            select(webhook.c.endpoint, webhook.c.state, func.count().label("number"))
            .where(webhook.c.state.in_([PENDING, FAILED]))
            .group_by(webhook.c.endpoint, webhook.c.state)
        )
    }
    return [
        _endpoint_record(
            name,
            rows.get(name),
            counts.get((name, PENDING), 0),
            counts.get((name, FAILED), 0),
        )
        for name in names
    ]


def _endpoint_record(
    name: str, row: Row[Any] | None, waiting: int, failed: int
) -> WebhookEndpointRecord:
    if row is None or row.paused_by is None:
        return WebhookEndpointRecord(name, None, "", None, waiting, failed)
    until = None if row.paused_until is None else moment(row.paused_until)
    reason = row.reason or ""
    return WebhookEndpointRecord(name, row.paused_by, reason, until, waiting, failed)


def webhooks(connection: Connection, endpoint: str, limit: int) -> list[WebhookRecord]:
    """The webhooks of an endpoint that are of most interest: those that failed, then
    those that wait, then the others; in each the latest first.

    They are found in one look: one that changes meanwhile would be missed by several.
    """
    latest = [
        select(webhook.c.id)
        .where(webhook.c.endpoint == endpoint, webhook.c.state == state)
        .order_by(webhook.c.due_at.desc())
        .limit(limit)
        .subquery()
        for state in _OF_INTEREST
    ]
    ids = union_all(*[select(one.c.id) for one in latest])
    rows = query(
        connection,
        select(webhook)
        .where(webhook.c.endpoint == endpoint, webhook.c.id.in_(ids))
        .order_by(case(_OF_INTEREST, value=webhook.c.state), webhook.c.due_at.desc())
        .limit(limit),
    )
    return [_record(row) for row in rows]


_OF_INTEREST = {FAILED: 1, PENDING: 2, DONE: 3}


def webhook_of(connection: Connection, endpoint: str, id: str) -> WebhookRecord | None:
    """One webhook; None if it is not there."""
    row = query(
        connection,
        select(webhook).where(webhook.c.endpoint == endpoint, webhook.c.id == id),
    ).first()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> WebhookRecord:
    return WebhookRecord(
        id=row.id,
        message_id=row.message_id,
        kind=row.kind,
        state=WebhookState(row.state),
        attempts=row.attempts,
        queued_at=moment(row.queued_at),
        due_at=moment(row.due_at),
        finished_at=None if row.finished_at is None else moment(row.finished_at),
        status=row.status,
        error=row.error,
    )
