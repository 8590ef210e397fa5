"""Alerts: what is wrong for too long, each told once by one of all processes.

A kind of alert has a row for each lane that it is about, which its next one takes over.
Who tells of an alert has a lease for that: if it is killed, another process tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from ..alerts import AlertKind, AlertLimits, AlertNews, AlertRules
from ..delivery import storable
from ..humanize import duration
from . import due, read, stats
from .ids import new_id
from .lanes import ABANDONED_SECONDS
from .schema import alert
from .sealed import query, seal
from .statements import RowsInsert, run_together

CALM_SECONDS = 120.0
"""An alert is over when its cause has been away for so long: what comes and goes is one
alert."""

TELLING_SECONDS = 60.0
"""How long a process has for telling of an alert."""

NO_LANE = ""

Key = tuple[str, str]
"""Kind and lane, which identify a row."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong for too long."""

    kind: AlertKind
    lane: str
    words: str
    reason: str = ""


Causes = Mapping[Key, Cause]


# ------------------------------------------------------------------------ what is wrong


def causes(connection: Connection, rules: AlertRules, now: float) -> Causes:
    """What is beyond its limit now."""
    found = [
        *_oldest_due(connection, rules, now),
        *_lanes_down(connection, rules, now),
        *_failures(connection, rules.limits, now),
    ]
    return {(one.kind.value, one.lane): one for one in found}


def _oldest_due(
    connection: Connection, rules: AlertRules, now: float
) -> Iterator[Cause]:
    limit = rules.limits.oldest_due_seconds
    if limit is None:
        return
    due_at = {
        lane: at
        for lane, at in due.next_due_by_lane(connection).items()
        if rules.watch(lane) and now - at > limit
    }
    if due_at:
        lane = min(due_at, key=due_at.__getitem__)
        yield Cause(
            AlertKind.OLDEST_DUE,
            NO_LANE,
            f"Mail has been due for more than {_length(limit)}, the oldest on the "
            f"lane {lane}.",
        )


def _lanes_down(
    connection: Connection, rules: AlertRules, now: float
) -> Iterator[Cause]:
    limit = rules.limits.lane_down_seconds
    if limit is None:
        return
    for one in read.lane_records(connection, {}, {}):
        if one.paused_by != "trouble" or one.since is None or one.until is None:
            continue
        abandoned = now - one.until.timestamp() > ABANDONED_SECONDS
        too_long = now - one.since.timestamp() > limit
        if too_long and not abandoned and rules.watch(one.name):
            words = f"The lane {one.name} has been down for more than {_length(limit)}."
            yield Cause(AlertKind.LANE_DOWN, one.name, words, one.reason)


def _failures(
    connection: Connection, limits: AlertLimits, now: float
) -> Iterator[Cause]:
    if limits.failed_messages is None:
        return
    since = now - limits.failed_within_seconds
    sent, failed = stats.sent_and_failed(connection, since, now)
    share = failed / max(sent + failed, 1)
    if failed >= limits.failed_messages and share >= limits.failed_share:
        yield Cause(
            AlertKind.FAILURES,
            NO_LANE,
            f"{failed:,} of {sent + failed:,} messages failed within "
            f"{_length(limits.failed_within_seconds)}.",
        )


def _length(seconds: float) -> str:
    """A limit, as a person would say it: ``15 min``."""
    return duration(seconds).removesuffix(" 0 s").removesuffix(" 0 min")


# ------------------------------------------------------------------- what is to be told


def anything_new(connection: Connection, found: Causes, now: float) -> bool:
    """Whether `look` would change anything."""
    rows = {(row.kind, row.lane): row for row in connection.execute(select(alert))}
    untold = any(_is_to_tell(row, now) for row in rows.values())
    return untold or bool(_changes(rows, found, now))


def look(connection: Connection, found: Causes, now: float) -> list[AlertNews]:
    """Begin and end alerts; return the news that the caller is to tell.

    Nobody else gets them before `TELLING_SECONDS` are over, or at all once they are
    `told`.
    """
    rows = _locked(connection)
    changes = _changes(rows, found, now)
    if new := [{**_key(key), **changes[key]} for key in changes if key not in rows]:
        values = [tuple(one[name] for name in _COLUMNS) for one in new]
        run_together(connection, _begin.statements(connection, values))
        rows = _locked(connection)
        changes = _changes(rows, found, now)
    for key, values_now in changes.items():
        _set(connection, key, values_now)
    rows = _locked(connection)
    untold = [row for row in rows.values() if _is_to_tell(row, now)]
    for row in untold:
        _set(connection, (row.kind, row.lane), {"telling_until": now + TELLING_SECONDS})
    return [_news(row) for row in untold]


def told(connection: Connection, news: AlertNews) -> bool:
    """Record that the news is told; False if another process has recorded it."""
    done = connection.execute(
        update(alert)
        .where(
            alert.c.kind == news.alert.kind.value,
            alert.c.lane == (news.alert.lane or NO_LANE),
            alert.c.id == news.alert.id,
            alert.c.told.is_distinct_from(news.kind),
        )
        .values(told=news.kind, telling_until=None)
    )
    return done.rowcount == 1


def _changes(
    rows: Mapping[Key, Row[Any]], found: Causes, now: float
) -> dict[Key, dict[str, Any]]:
    """What is to change in which row, or in a new one."""
    changes: dict[Key, dict[str, Any]] = {}
    for key, cause in found.items():
        row = rows.get(key)
        if row is None or (row.ended_at is not None and row.told == _ENDED):
            changes[key] = _begun(cause, now)
        elif row.calm_since is not None and row.ended_at is None:
            changes[key] = {"calm_since": None}
    for key, row in rows.items():
        if key in found or row.ended_at is not None:
            continue
        if row.calm_since is None:
            changes[key] = {"calm_since": now}
        elif now - row.calm_since >= CALM_SECONDS:
            changes[key] = {"ended_at": now}
    return changes


def _begun(cause: Cause, now: float) -> dict[str, Any]:
    return {
        "id": new_id(),
        "words": storable(cause.words),
        "reason": storable(cause.reason),
        "began_at": now,
        "calm_since": None,
        "ended_at": None,
        "told": None,
        "telling_until": None,
    }


_COLUMNS = tuple(alert.columns.keys())
_begin = RowsInsert(alert, *_COLUMNS, skip_present=True)

_RAISED, _ENDED = "alert_raised", "alert_ended"
"""What was told last of an alert; NULL if nothing was."""


def _is_to_tell(row: Row[Any], now: float) -> bool:
    if row.telling_until is not None and row.telling_until > now:
        return False
    return row.told is None or (row.told == _RAISED and row.ended_at is not None)


def _news(row: Row[Any]) -> AlertNews:
    """The next news of an alert: first that it began, whatever became of it since."""
    return AlertNews(read.alert_of(row, ended_at=row.ended_at if row.told else None))


def _key(key: Key) -> dict[str, str]:
    kind, lane = key
    return {"kind": kind, "lane": lane}


def _locked(connection: Connection) -> dict[Key, Row[Any]]:
    rows = query(
        connection,
        select(alert)
        .where(alert.c.kind.in_(read.ALERT_KINDS))
        .order_by(alert.c.kind, alert.c.lane)
        .with_for_update(),
    )
    return {(row.kind, row.lane): row for row in rows}


def _set(connection: Connection, key: Key, values: Mapping[str, Any]) -> None:
    kind, lane = key
    connection.execute(
        update(alert)
        .where(alert.c.kind == kind, alert.c.lane == lane)
        .values(seal(connection, alert, lane, values))
    )
