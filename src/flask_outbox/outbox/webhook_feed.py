"""The feed of webhooks: copies new events into the queue of each endpoint.

Events are read in the order of their ids. On PostgreSQL and MariaDB an id becomes
visible when its transaction commits, perhaps after higher ones. So ids that are missing
below the highest that was seen are kept as *gaps* and looked up again, until no
transaction that could still fill them can be open. A gap that is never filled was left
by a rollback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select, update
from sqlalchemy.engine import Row

from ..delivery import State
from ..events import EventKind
from ..feedback import Fate
from ..webhooks.kinds import sources, told_as
from .enqueue import as_json
from .received import in_parts
from .schema import content, event, message, recipient, webhook, webhook_endpoint
from .sealed import insert_sealed, query
from .sensitive import IS_SHOWN

EVENTS_AT_ONCE = 1_000
"""The most events that one transaction copies, so that it is short."""

GAP_SECONDS = 3_600.0
"""How long a missing id is looked up: far longer than the outbox's own transactions,
which end within seconds, and than the app's should take."""

MOST_GAPS = 200
"""If there are more, those of about the same time are joined: then ids between them are
read again."""

JOINED_SECONDS = 60.0
"""Gaps are joined within so long a time: so none is looked up for much longer."""

FIRST_LOOK_BACK = 1_000
"""How many ids before the newest may belong to transactions that were open when an
endpoint was new."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The ids from ``first`` to ``last``, not visible when they were first looked up,
    at ``since``.
    """

    first: int
    last: int
    since: float


@dataclass(frozen=True, slots=True)
class Feed:
    """What one endpoint is to be told of new events."""

    endpoint: str
    kinds: frozenset[str]
    metadata: bool
    give_up_seconds: float


def begin(connection: Connection, endpoint: str, now: float) -> None:
    """Begin the feed of an endpoint with the events from now on, unless it has one."""
    known = select(webhook_endpoint.c.name).where(webhook_endpoint.c.name == endpoint)
    if connection.scalar(known) is not None:
        return
    newest = connection.scalar(select(func.max(event.c.id))) or 0
    start = max(0, newest - FIRST_LOOK_BACK)
    seen = connection.scalars(
        select(event.c.id).where(event.c.id > start, event.c.id <= newest)
    )
    gaps = [] if _in_order(connection) else missing(start, sorted(seen), now)
    connection.execute(
        webhook_endpoint.insert().values(
            name=endpoint, copied_to=newest, gaps=_dumped(gaps), failures=0
        )
    )


def has_news(connection: Connection, endpoint: str, now: float) -> bool:
    """Whether `copy` has something to do: new events, filled gaps, or old ones."""
    row = connection.execute(
        select(*webhook_endpoint.c["copied_to", "gaps"]).where(
            webhook_endpoint.c.name == endpoint
        )
    ).first()
    if row is None:
        return False
    gaps = _loaded(row.gaps)
    newest = connection.scalar(select(func.max(event.c.id))) or 0
    return (
        newest > row.copied_to
        or any(one.since <= now - GAP_SECONDS for one in gaps)
        or bool(_found_in(connection, gaps))
    )


def copy(connection: Connection, feed: Feed, now: float) -> int:
    """Queue the webhooks of the next events, and of those that have become visible in
    gaps; return how many events came next.

    0 when none is left, or while another process copies for this endpoint.
    """
    row = connection.execute(
        select(*webhook_endpoint.c["copied_to", "gaps"])
        .where(webhook_endpoint.c.name == feed.endpoint)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return 0
    gaps = _loaded(row.gaps)
    filled = _found_in(connection, gaps)
    following = connection.execute(
        select(*event.c["id", "kind", "message_id"])
        .where(event.c.id > row.copied_to)
        .order_by(event.c.id)
        .limit(EVENTS_AT_ONCE)
    ).all()
    kinds = sources(feed.kinds)
    wanted = [one for one in (*filled, *following) if one.kind in kinds]
    present = _present(connection, feed.endpoint, [_id(one) for one in wanted])
    ids = [one.id for one in wanted if _id(one) not in present]
    for start in range(0, len(ids), EVENTS_AT_ONCE):
        _queue(connection, feed, ids[start : start + EVENTS_AT_ONCE], now)
    still_missing = [
        *_without([one for one in gaps if one.since > now - GAP_SECONDS], filled),
        *_new_gaps(connection, row.copied_to, following, now),
    ]
    copied_to = following[-1].id if following else row.copied_to
    if copied_to != row.copied_to or still_missing != gaps:
        connection.execute(
            update(webhook_endpoint)
            .where(webhook_endpoint.c.name == feed.endpoint)
            .values(copied_to=copied_to, gaps=_dumped(_joined(still_missing)))
        )
    return len(following)


def step_back(connection: Connection) -> None:
    """Let no feed overlook new events after events were deleted.

    SQLite gives the ids of deleted events again if they were the highest.
    """
    if _in_order(connection):
        newest = select(func.coalesce(func.max(event.c.id), 0)).scalar_subquery()
        connection.execute(
            update(webhook_endpoint)
            .where(webhook_endpoint.c.copied_to > newest)
            .values(copied_to=newest)
        )


def _in_order(connection: Connection) -> bool:
    """Whether ids become visible in their order: SQLite has one writer at a time."""
    return connection.dialect.name == "sqlite"


# Gaps


def missing(after: int, seen: Sequence[int], now: float) -> list[Gap]:
    """The gaps between ``after`` and the last of ``seen``, which is sorted."""
    gaps = []
    for one in seen:
        if one > after + 1:
            gaps.append(Gap(after + 1, one - 1, now))
        after = one
    return gaps


def _new_gaps(
    connection: Connection, after: int, following: Sequence[Row[Any]], now: float
) -> list[Gap]:
    if _in_order(connection):
        return []
    return missing(after, [one.id for one in following], now)


def _found_in(connection: Connection, gaps: Sequence[Gap]) -> Sequence[Row[Any]]:
    """The events that have become visible in ``gaps``."""
    if not gaps:
        return ()
    return connection.execute(
        select(*event.c["id", "kind", "message_id"])
        .where(or_(*(event.c.id.between(one.first, one.last) for one in gaps)))
        .order_by(event.c.id)
    ).all()


def _without(gaps: Iterable[Gap], filled: Sequence[Row[Any]]) -> list[Gap]:
    """What is left of ``gaps`` without the events in them that were found."""
    left = []
    for gap in gaps:
        inside = [one.id for one in filled if gap.first <= one.id <= gap.last]
        left += missing(gap.first - 1, [*inside, gap.last + 1], gap.since)
    return left


def _joined(gaps: Sequence[Gap]) -> list[Gap]:
    """The gaps; if they are too many, those of the same `JOINED_SECONDS` as one."""
    if len(gaps) <= MOST_GAPS:
        return list(gaps)
    joined: list[Gap] = []
    for one in sorted(gaps, key=lambda one: one.first):
        last = joined[-1] if joined else None
        if last and last.since // JOINED_SECONDS == one.since // JOINED_SECONDS:
            joined[-1] = Gap(last.first, one.last, max(last.since, one.since))
        else:
            joined.append(one)
    return joined


def _loaded(gaps: str | None) -> list[Gap]:
    return [Gap(*one) for one in json.loads(gaps)] if gaps else []


def _dumped(gaps: Iterable[Gap]) -> str | None:
    rows = [[one.first, one.last, one.since] for one in gaps]
    return as_json(rows) if rows else None


# What is told


def _queue(connection: Connection, feed: Feed, ids: Sequence[int], now: float) -> None:
    """Queue what tells the events with ``ids``."""
    found = query(connection, _events(ids, metadata=feed.metadata)).all()
    moved = _moves(connection, {row.message_id for row in found})
    told = [
        (row, kind, detail)
        for row in found
        for detail in [json.loads(row.detail) if row.detail else {}]
        if (kind := told_as(row.kind, detail)) in feed.kinds
        and row.id > moved.get(row.message_id, 0)
    ]
    recipients = _recipients(connection, {row.message_id for row, _, _ in told})
    rows = [
        {
            "endpoint": feed.endpoint,
            "id": _id(row),
            "message_id": row.message_id,
            "kind": kind,
            "body": body_of(
                f"message.{kind}",
                row.at,
                _data(row, str(kind), detail, recipients[row.message_id]),
            ),
            "queued_at": now,
            "due_at": now,
            "give_up_at": now + feed.give_up_seconds,
            "attempts": 0,
            "state": "pending",
        }
        for row, kind, detail in told
    ]
    if rows:
        insert_sealed(connection, webhook, *rows)


def _events(ids: Sequence[int], *, metadata: bool) -> Select[Any]:
    """The events with ``ids``, and what else is told of their messages."""
    wanted = (
        select(
            *event.c["id", "message_id", "at", "kind", "detail"],
            *message.c["rfc_message_id", "tag", "batch", "state"],
        )
        .join(message, message.c.id == event.c.message_id)
        .where(event.c.id.in_(ids))
        .order_by(event.c.id)
    )
    if metadata:
        given = content.c.metadata.label("given_metadata")
        wanted = wanted.add_columns(given).outerjoin(
            content, (content.c.message_id == message.c.id) & IS_SHOWN
        )
    return wanted


def _moves(connection: Connection, ids: Collection[str]) -> Mapping[str, int]:
    """For those of these messages that moved here, the event that says so.

    Its former outbox tells what happened to a message before.
    """
    moves = (
        select(event.c.message_id, func.max(event.c.id).label("id"))
        .where(event.c.message_id.in_(ids), event.c.kind == EventKind.MOVED.value)
        .group_by(event.c.message_id)
    )
    return {row.message_id: row.id for row in connection.execute(moves)}


def _id(row: Row[Any]) -> str:
    """The webhook's id, the same in each of its requests.

    Both parts, because SQLite may give the id of a deleted event again.
    """
    return f"{row.message_id}_{row.id}"


def _present(
    connection: Connection, endpoint: str, ids: Collection[str]
) -> Collection[str]:
    """Which of these webhooks were queued before."""
    return {
        found
        for some in in_parts(ids)
        for found in connection.scalars(
            select(webhook.c.id).where(
                webhook.c.endpoint == endpoint, webhook.c.id.in_(some)
            )
        )
    }


def _recipients(
    connection: Connection, message_ids: Collection[str]
) -> Mapping[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {one: [] for one in message_ids}
    if found:
        rows = query(
            connection,
            select(recipient)
            .where(recipient.c.message_id.in_(found))
            .order_by(recipient.c.message_id, recipient.c.position),
        )
        for row in rows:
            found[row.message_id].append(row)
    return found


def body_of(kind: str, at: float, data: Mapping[str, Any]) -> str:
    """The body of a webhook, as Standard Webhooks says."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return as_json({"type": kind, "timestamp": moment, "data": data})


def _data(
    row: Row[Any], kind: str, detail: Mapping[str, Any], recipients: list[Row[Any]]
) -> dict[str, Any]:
    data = {
        "message_id": row.message_id,
        "rfc_message_id": row.rfc_message_id,
        "tag": row.tag,
        "batch": row.batch,
        "state": kind if kind in _FINAL_STATES else row.state,
        "recipients": _told_recipients(kind, detail, recipients),
    }
    if "given_metadata" in row._mapping:
        data["metadata"] = json.loads(row.given_metadata or "null")
    return data


_FINAL_STATES = {State.SENT, State.FAILED, State.UNKNOWN, State.CANCELLED}
"""Kinds that are the message's own state, whatever has become of it since."""


def _told_recipients(
    kind: str, detail: Mapping[str, Any], recipients: list[Row[Any]]
) -> list[dict[str, Any]]:
    """The recipients whom the event concerns, those it names or all, and the reply
    for each: the next hop's, or the one that was reported.
    """
    if kind in _FATES:
        return [
            _told_recipient(one, *_reported(detail.get("words")))
            for one in recipients
            if one.address == detail.get("address")
        ]
    named = detail.get("replies")
    return [
        _told_recipient(one, one.reply_code, one.reply_enhanced)
        for one in recipients
        if not named or one.address in named
    ]


def _told_recipient(
    one: Row[Any], code: int | None, enhanced: str | None
) -> dict[str, Any]:
    return {
        "address": one.address,
        "state": one.state,
        "code": code,
        "enhanced": enhanced,
    }


_FATES = {fate.value for fate in Fate}

_REPLY = re.compile(r"(?:([245]\d\d)\b\s*)?(?:([245]\.\d{1,3}\.\d{1,3})\b)?")


def _reported(words: str | None) -> tuple[int | None, str | None]:
    """The codes at the beginning of a reported reply."""
    found = _REPLY.match(words or "")
    code, enhanced = found.groups() if found else (None, None)
    return (int(code) if code else None), enhanced
