"""Statistics: the outcomes of attempts over time, counted by couriers.

Each courier writes its own rows, apart from what it records, so that statistics delay
nothing. Counts that a killed courier had not written yet are missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select, union_all, update
from sqlalchemy.engine import Row

from ..counters import Counters, Histogram, Trouble
from ..events import ATTEMPT_ENDS
from .enqueue import as_json
from .read import moment
from .schema import stats
from .sealed import query, seal
from .statements import RowsInsert, run_together

MINUTE, HOUR, DAY = 60, 3_600, 86_400

MERGED_AFTER_SECONDS: int = 10 * MINUTE
"""Age at which a minute's rows of all couriers are merged into one.

By then the couriers have written their final counts of it.
"""

HOURLY_AFTER_SECONDS = DAY
"""Age at which the rows of an hour's minutes are merged into one."""

STATS_LIMIT = 500
"""Rows merged or pruned in one transaction."""

TROUBLES_KEPT = 20
"""How many troubles a row stores: the most common ones."""

EVERYBODY = ""
"""The courier id of merged rows."""

EVER = 0
"""The time of the rows that hold all that was ever merged, so that totals only grow."""

ALL_LANES = ""
"""The lane of the row of `EVER` that holds those of all lanes."""

UNMERGED_SECONDS = DAY
"""How much older than the last merged rows others may be that are not."""

TOTALS_WRAP = 2**31
"""Totals begin again at 0 before this number, which the column cannot hold."""

Key = tuple[int, str, str]
"""Time, courier and lane, which identify a row."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of durations in seconds; None if there were no durations.

    They come from a histogram. Each is the upper bound of a bucket, so never below the
    true value; ``inf`` means above the last bound.
    """

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many attempts had each outcome in one period.

    A message that is deferred twice and then sent counts three times.
    """

    at: datetime
    sent: int
    deferred: int
    failed: int
    unknown: int
    returned: int
    waits: Percentiles
    """Time from when a message was due until it was sent. A scheduled message is due at
    its time, one that a person retried at the time of that action."""
    durations: Percentiles
    """How long attempts took."""


@dataclass(frozen=True, slots=True)
class CommonTrouble:
    """A server's reply or another error, without the details of single messages."""

    words: str
    count: int
    """How many recipients it concerned."""
    message_id: str
    """The id of the last message that it concerned."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The outcomes of attempts over time."""

    seconds: float
    """The length of each of ``buckets``."""
    buckets: tuple[Bucket, ...]
    """The whole period that was asked for, without gaps."""
    whole: Bucket
    """The sum of all buckets."""
    troubles: tuple[CommonTrouble, ...]
    """The most common first."""


# ------------------------------------------------------------------------------ writing


def stats_row(at: int, courier: str, lane: str, tally: Counters) -> Mapping[str, Any]:
    """The counts of a courier and lane for the minute ``at``, as a row."""
    return {
        "at": at,
        "courier": courier,
        "lane": lane,
        **{kind: tally.ended[kind] for kind in ATTEMPT_ENDS},
        "waits": as_json(tally.waits.counts()),
        "durations": as_json(tally.durations.counts()),
        "troubles": as_json(
            {words: asdict(one) for words, one in tally.commonest(TROUBLES_KEPT)}
        ),
        "waits_seconds": tally.waits.seconds,
        "durations_seconds": tally.durations.seconds,
    }


_NOTHING = tuple(stats_row(EVER, EVERYBODY, ALL_LANES, Counters()).values())
_begin = RowsInsert(stats, *stats.columns.keys(), skip_present=True)


def write(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store these rows, replacing earlier versions of them. Safe to repeat."""
    for row in rows:
        sealed = seal(connection, stats, row["lane"], row)
        changed = connection.execute(
            update(stats).where(*_is(row)).values(sealed)
        ).rowcount
        if not changed:
            connection.execute(stats.insert().values(sealed))


def _is(row: Mapping[str, Any]) -> list[Any]:
    return [stats.c[name] == row[name] for name in ("at", "courier", "lane")]


# ------------------------------------------------------------------------ keeping small


def shrink(connection: Connection, now: float, rows_before: float) -> bool:
    """Prune and merge one step; return whether there may be more to do.

    Only merged rows are pruned: the totals have these.
    """
    couriers = _merge(connection, _of_minutes(now), MINUTE)
    _add_to_totals(connection, couriers)
    minutes = _merge(connection, _of_hours(now), HOUR)
    pruned = _prune(connection, rows_before)
    return any(len(rows) == STATS_LIMIT for rows in (couriers, minutes, pruned))


def _prune(connection: Connection, rows_before: float) -> Sequence[Row[Any]]:
    old = _locked(
        connection,
        select(stats).where(
            stats.c.courier == EVERYBODY,
            stats.c.at > EVER,
            stats.c.at < int(rows_before),
        ),
    )
    _delete(connection, old)
    return old


def _add_to_totals(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Add the counts of single couriers to those of `EVER`, without their troubles.

    The row of all lanes is locked first, so that nobody else does so at once.
    """
    if not rows:
        return
    run_together(connection, _begin.statements(connection, [_NOTHING]))
    totals: dict[str, Counters] = {}
    for row in rows:
        for lane in (ALL_LANES, row.lane):
            if lane not in totals:
                totals[lane] = _kept(connection, (EVER, EVERYBODY, lane))
            totals[lane] += _counters_of(row)
    for lane, total in totals.items():
        total.troubles.clear()
        total.ended = Counter(
            {kind: n % TOTALS_WRAP for kind, n in total.ended.items()}
        )
        write(connection, [stats_row(EVER, EVERYBODY, lane, total)])


def _of_minutes(now: float) -> Select[Any]:
    """Rows of single couriers that are old enough to be merged."""
    over = int(now - MERGED_AFTER_SECONDS)
    return select(stats).where(stats.c.courier != EVERYBODY, stats.c.at < over)


def _of_hours(now: float) -> Select[Any]:
    """Rows of minutes that are old enough to be merged into an hour."""
    over = int(now - HOURLY_AFTER_SECONDS) // HOUR * HOUR
    return select(stats).where(
        stats.c.courier == EVERYBODY, stats.c.at % HOUR != 0, stats.c.at < over
    )


def _merge(
    connection: Connection, wanted: Select[Any], seconds: int
) -> Sequence[Row[Any]]:
    """Merge rows into rows of `EVERYBODY`, each ``seconds`` long; return the rows."""
    rows = _locked(connection, wanted)
    tallies: dict[Key, Counters] = {}
    for row in rows:
        key = (row.at // seconds * seconds, EVERYBODY, row.lane)
        if key not in tallies:
            tallies[key] = _kept(connection, key)
        tallies[key] += _counters_of(row)
    _delete(connection, rows)
    write(connection, [stats_row(*key, tally) for key, tally in tallies.items()])
    return rows


def _kept(connection: Connection, key: Key) -> Counters:
    """The counts stored under ``key``."""
    at, courier, lane = key
    where = _is({"at": at, "courier": courier, "lane": lane})
    row = query(connection, select(stats).where(*where).with_for_update()).first()
    return Counters() if row is None else _counters_of(row)


def _locked(connection: Connection, wanted: Select[Any]) -> Sequence[Row[Any]]:
    limited = wanted.order_by(stats.c.at).limit(STATS_LIMIT)
    return query(connection, limited.with_for_update(skip_locked=True)).all()


def _delete(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    for row in rows:
        connection.execute(delete(stats).where(*_is(row._asdict())))


# ------------------------------------------------------------------------------ reading


def read(
    connection: Connection, since: float, until: float, buckets: int, lane: str | None
) -> Stats:
    """The counts from ``since`` to ``until`` (epoch seconds), in equal ``buckets``."""
    wanted = select(stats).where(
        stats.c.at > EVER, stats.c.at >= int(since), stats.c.at < until
    )
    if lane is not None:
        wanted = wanted.where(stats.c.lane == lane)
    seconds = (until - since) / buckets
    tallies = [Counters() for _ in range(buckets)]
    whole = Counters()
    for row in query(connection, wanted):
        tally = _counters_of(row)
        tallies[max(0, int((row.at - since) / seconds))] += tally
        whole += tally
    return Stats(
        seconds,
        tuple(
            _bucket(since + number * seconds, tally)
            for number, tally in enumerate(tallies)
        ),
        _bucket(since, whole),
        tuple(
            CommonTrouble(words, one.count, one.message_id)
            for words, one in whole.commonest(TROUBLES_KEPT)
        ),
    )


def sent_and_failed(
    connection: Connection, since: float, until: float
) -> tuple[int, int]:
    """How many attempts ended so from ``since`` to ``until``, to the minute."""
    sent, failed = connection.execute(
        select(func.sum(stats.c.sent), func.sum(stats.c.failed)).where(
            stats.c.at > EVER, stats.c.at >= int(since), stats.c.at < until
        )
    ).one()
    return int(sent or 0), int(failed or 0)


def totals(
    connection: Connection, lanes: Collection[str]
) -> tuple[Counters, dict[str, Counters]]:
    """All that was ever counted, and how much of it for each of ``lanes``.

    It takes as long as the rows that are not merged yet are many, and no longer with
    the age of the outbox.
    """
    found = {lane: Counters() for lane in (*lanes, ALL_LANES)}
    merged = select(stats).where(
        stats.c.at == EVER, stats.c.courier == EVERYBODY, stats.c.lane.in_(found)
    )
    # One statement sees one moment, so that none is missed which is merged meanwhile.
    for row in query(connection, union_all(merged, _unmerged(connection))):
        counted = _counters_of(row)
        if row.at != EVER:
            found[ALL_LANES] += counted
        if row.lane in found:
            found[row.lane] += counted
    return found.pop(ALL_LANES), found


def _unmerged(connection: Connection) -> Select[Any]:
    last = connection.scalar(
        select(stats.c.at)
        .where(stats.c.courier == EVERYBODY)
        .order_by(stats.c.at.desc())
        .limit(1)
    )
    return select(stats).where(
        stats.c.courier != EVERYBODY, stats.c.at >= (last or 0) - UNMERGED_SECONDS
    )


def _counters_of(row: Row[Any]) -> Counters:
    return Counters(
        Counter({kind: getattr(row, kind) for kind in ATTEMPT_ENDS}),
        Histogram(json.loads(row.waits), row.waits_seconds or 0.0),
        Histogram(json.loads(row.durations), row.durations_seconds or 0.0),
        {words: Trouble(**one) for words, one in json.loads(row.troubles).items()},
    )


def _bucket(at: float, tally: Counters) -> Bucket:
    return Bucket(
        at=moment(at),
        **{kind: tally.ended[kind] for kind in ATTEMPT_ENDS},
        waits=_percentiles(tally.waits),
        durations=_percentiles(tally.durations),
    )


def _percentiles(histogram: Histogram) -> Percentiles:
    return Percentiles(*(histogram.percentile(percent) for percent in (50, 95, 99)))
