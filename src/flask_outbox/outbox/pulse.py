"""The pulse: what attempts came to over time, written by couriers, read by people.

Each courier writes rows of its own, beside what it records, so that the statistics slow
nothing down; what it had counted and not yet written when it was killed is not in them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update
from sqlalchemy.engine import Row

from ..tally import KINDS, Histogram, Tally, Trouble
from .asking import moment
from .enqueue import as_json
from .schema import pulse

MINUTE, HOUR, DAY = 60, 3_600, 86_400

MERGED_AFTER_SECONDS = 10 * MINUTE
"""Couriers have long written a minute that is over; then one row for all will do."""

HOURLY_AFTER_SECONDS = DAY
"""How long single minutes are told apart."""

PULSE_LIMIT = 500
"""Rows merged or pruned in one transaction."""

TROUBLES_KEPT = 20
"""How many troubles a row has, the most common ones."""

EVERYBODY = ""
"""The courier of what is merged."""

Key = tuple[int, str, str]
"""When, which courier, which lane: one row."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Lengths of time in seconds; None where there were none.

    They come from a histogram: each is the upper bound of a bucket, so never less than
    the truth; ``inf`` is more than the last bound.
    """

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Beat:
    """What attempts came to in one stretch of time, each counted once for its message.

    A message that is deferred twice and then sent counts three times.
    """

    at: datetime
    sent: int
    deferred: int
    failed: int
    unknown: int
    released: int
    waits: Percentiles
    """From when a message was due to when it was sent; scheduled ones are due at their
    time, and retried ones when a person said so."""
    durations: Percentiles
    """How long an attempt took."""


@dataclass(frozen=True, slots=True)
class CommonTrouble:
    """What servers said, or what went wrong, without what is only one message's."""

    words: str
    count: int
    """How many recipients met it."""
    message_id: str
    """The id of the last message that met it."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What attempts came to over time."""

    seconds: float
    """How long each of ``beats`` is."""
    beats: tuple[Beat, ...]
    """All of the time that was asked for, without gaps."""
    whole: Beat
    """The same for all of it at once."""
    troubles: tuple[CommonTrouble, ...]
    """The most common first."""


# ------------------------------------------------------------------------------ writing


def row_of(at: int, courier: str, lane: str, tally: Tally) -> Mapping[str, Any]:
    """A tally as its row."""
    return {
        "at": at,
        "courier": courier,
        "lane": lane,
        **{kind: tally.ended[kind] for kind in KINDS},
        "waits": as_json(tally.waits.counts()),
        "durations": as_json(tally.durations.counts()),
        "troubles": as_json(
            {words: asdict(one) for words, one in tally.commonest(TROUBLES_KEPT)}
        ),
    }


def write(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put these rows in the place of what they were before: twice does no harm."""
    for row in rows:
        changed = connection.execute(
            update(pulse).where(*_is(row)).values(dict(row))
        ).rowcount
        if not changed:
            connection.execute(pulse.insert().values(dict(row)))


def _is(row: Mapping[str, Any]) -> list[Any]:
    return [pulse.c[name] == row[name] for name in ("at", "courier", "lane")]


# ------------------------------------------------------------------------ keeping small


def shrink(connection: Connection, now: float, rows_before: float) -> bool:
    """One step of pruning and merging; whether there may be more to do."""
    return any(
        [
            _prune(connection, rows_before),
            _merge(connection, _of_minutes(now), MINUTE),
            _merge(connection, _of_hours(now), HOUR),
        ]
    )


def _prune(connection: Connection, rows_before: float) -> bool:
    old = _locked(connection, select(pulse).where(pulse.c.at < int(rows_before)))
    _delete(connection, old)
    return len(old) == PULSE_LIMIT


def _of_minutes(now: float) -> Select[Any]:
    """Rows of single couriers that have no news any more."""
    over = int(now - MERGED_AFTER_SECONDS)
    return select(pulse).where(pulse.c.courier != EVERYBODY, pulse.c.at < over)


def _of_hours(now: float) -> Select[Any]:
    """Rows of minutes that are old enough to be an hour's."""
    over = int(now - HOURLY_AFTER_SECONDS) // HOUR * HOUR
    return select(pulse).where(pulse.c.at % HOUR != 0, pulse.c.at < over)


def _merge(connection: Connection, wanted: Select[Any], seconds: int) -> bool:
    """Put rows together into those of everybody, each ``seconds`` long."""
    rows = _locked(connection, wanted)
    tallies: dict[Key, Tally] = {}
    for row in rows:
        key = (row.at // seconds * seconds, EVERYBODY, row.lane)
        if key not in tallies:
            tallies[key] = _kept(connection, key)
        tallies[key] += _tally(row)
    _delete(connection, rows)
    write(connection, [row_of(*key, tally) for key, tally in tallies.items()])
    return len(rows) == PULSE_LIMIT


def _kept(connection: Connection, key: Key) -> Tally:
    """What is kept under ``key`` already."""
    at, courier, lane = key
    where = _is({"at": at, "courier": courier, "lane": lane})
    row = connection.execute(select(pulse).where(*where).with_for_update()).first()
    return Tally() if row is None else _tally(row)


def _locked(connection: Connection, wanted: Select[Any]) -> Sequence[Row[Any]]:
    limited = wanted.order_by(pulse.c.at).limit(PULSE_LIMIT)
    return connection.execute(limited.with_for_update(skip_locked=True)).all()


def _delete(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    for row in rows:
        connection.execute(delete(pulse).where(*_is(row._asdict())))


# ------------------------------------------------------------------------------ reading


def read(
    connection: Connection, since: float, until: float, beats: int, lane: str | None
) -> Pulse:
    """What was written for the time from ``since`` to ``until``, in so many parts."""
    wanted = select(pulse).where(pulse.c.at >= int(since), pulse.c.at < until)
    if lane is not None:
        wanted = wanted.where(pulse.c.lane == lane)
    seconds = (until - since) / beats
    tallies = [Tally() for _ in range(beats)]
    whole = Tally()
    for row in connection.execute(wanted):
        tally = _tally(row)
        tallies[max(0, int((row.at - since) / seconds))] += tally
        whole += tally
    return Pulse(
        seconds,
        tuple(
            _beat(since + number * seconds, tally)
            for number, tally in enumerate(tallies)
        ),
        _beat(since, whole),
        tuple(
            CommonTrouble(words, one.count, one.message_id)
            for words, one in whole.commonest(TROUBLES_KEPT)
        ),
    )


def _tally(row: Row[Any]) -> Tally:
    return Tally(
        Counter({kind: getattr(row, kind) for kind in KINDS}),
        Histogram(json.loads(row.waits)),
        Histogram(json.loads(row.durations)),
        {words: Trouble(**one) for words, one in json.loads(row.troubles).items()},
    )


def _beat(at: float, tally: Tally) -> Beat:
    return Beat(
        at=moment(at),
        **{kind: tally.ended[kind] for kind in KINDS},
        waits=_percentiles(tally.waits),
        durations=_percentiles(tally.durations),
    )


def _percentiles(histogram: Histogram) -> Percentiles:
    return Percentiles(*(histogram.percentile(percent) for percent in (50, 95, 99)))
