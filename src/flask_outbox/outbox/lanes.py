"""The stored state of lanes: pauses, and how much of their limits is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from ..limits import Allowance, Limit, in_use
from ..recipient_guard import Guard
from . import claim, notify
from .claim import Load
from .records import Claim
from .schema import lane
from .sealed import insert_sealed, query, seal

ABANDONED_SECONDS = 300.0
"""A lane whose probe has been due for so long was left by a courier that died. Probes
end sooner."""


def pause(
    connection: Connection, name: str, until: float, reason: str, now: float
) -> None:
    """Record that the transport of ``name`` fails: it is paused until ``until``.

    A lane that is down already stays down since when it was first, unless no courier
    has probed it for `ABANDONED_SECONDS`.
    """
    goes_on = lane.c.paused_until > now - ABANDONED_SECONDS
    since = case((goes_on, func.coalesce(lane.c.paused_at, now)), else_=now)
    words = seal(connection, lane, name, {"reason": reason})
    done = connection.execute(
        update(lane)
        .where(lane.c.name == name)
        .ordered_values(  # MariaDB would compute the first from the others' new values
            (lane.c.paused_at, since),
            (lane.c.paused_until, until),
            (lane.c.reason, words["reason"]),
        )
    )
    if not done.rowcount:
        connection.execute(
            lane.insert().values(name=name, paused_at=now, paused_until=until, **words)
        )


def resume(connection: Connection, name: str) -> None:
    """Record that the transport of ``name`` works again."""
    _set(connection, name, paused_until=None, reason=None, paused_at=None)


def down(connection: Connection) -> tuple[str, ...]:
    """The lanes whose transport fails, ordered by name."""
    paused = select(lane.c.name).where(lane.c.paused_at.is_not(None))
    return tuple(connection.scalars(paused.order_by(lane.c.name)))


def forget(connection: Connection, name: str, now: float) -> None:
    """`resume`, and delete the row unless a person paused the lane, or its limits are
    in use.
    """
    resume(connection, name)
    row = connection.execute(select(lane).where(lane.c.name == name)).first()
    if row is None or row.operator_paused_at is not None or in_use(row.taken, now):
        return
    connection.execute(lane.delete().where(lane.c.name == name))


def pause_by_operator(
    connection: Connection, name: str, reason: str, now: float
) -> None:
    """Pause ``name`` for a person, until `resume_by_operator`."""
    _write(connection, name, operator_paused_at=now, operator_reason=reason)
    notify.notify(connection, notify.LANES)


def resume_by_operator(connection: Connection, name: str) -> None:
    """End what `pause_by_operator` began."""
    _set(connection, name, operator_paused_at=None, operator_reason=None)
    notify.notify(connection, notify.LANES)


def paused_by_operator(connection: Connection) -> dict[str, str]:
    """The lanes that a person paused, and the reasons."""
    rows = query(
        connection,
        select(*lane.c["name", "operator_reason"]).where(
            lane.c.operator_paused_at.is_not(None)
        ),
    )
    return {row.name: row.operator_reason or "" for row in rows}


def claim_within(
    connection: Connection,
    by: str,
    limits: tuple[Limit, ...],
    owner: str,
    waiting_on: str,
    wanted: int,
    clock: Callable[[], float],
    guard: Guard,
    traced: bool,
    among: Sequence[str] | None = None,
    room: Mapping[str, int] | None = None,
    load: Load | None = None,
) -> tuple[list[Claim], float]:
    """Lease messages due on ``waiting_on``, as many as the limits of ``by`` allow.

    Also returns when they allow more. The row of ``by`` is locked before the clock is
    read, so that two couriers never use the same allowance.
    """
    kept = _locked_allowance(connection, by)
    allowance = Allowance(limits, kept)
    now = clock()
    allowed = allowance.left(wanted, now)
    claims = claim.claim(
        connection, owner, waiting_on, allowed, now, guard, traced, among, room, load
    )
    if claims:
        allowance.take(len(claims), now)
    if allowance.dump() != kept:
        _set(connection, by, taken=allowance.dump())
    return claims, allowance.next_at(now)


def _locked_allowance(connection: Connection, name: str) -> str | None:
    row = connection.execute(
        select(lane.c.taken).where(lane.c.name == name).with_for_update()
    ).first()
    if row is None:
        connection.execute(lane.insert().values(name=name))
        return None
    taken: str | None = row.taken
    return taken


def _write(connection: Connection, name: str, **values: Any) -> None:
    if not _set(connection, name, **values):
        insert_sealed(connection, lane, {"name": name, **values})


def _set(connection: Connection, name: str, **values: Any) -> bool:
    """Update the row of ``name``; False if it has none."""
    sealed = seal(connection, lane, name, values)
    done = connection.execute(update(lane).where(lane.c.name == name).values(sealed))
    return done.rowcount == 1
