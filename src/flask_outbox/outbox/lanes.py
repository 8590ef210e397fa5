"""What is written down of lanes: every courier and every person sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from ..guard import Guard
from ..rate import Allowance, Limit
from . import doorbell, leases
from .load import Load
from .records import Claim
from .schema import lane


def pause(
    connection: Connection, name: str, until: float, reason: str, now: float
) -> None:
    """Write down that the transport of ``name`` is in trouble."""
    _write(connection, name, paused_until=until, reason=reason, paused_at=now)


def resume(connection: Connection, name: str) -> None:
    """Write down that the transport of ``name`` is in no trouble."""
    _set(connection, name, paused_until=None, reason=None, paused_at=None)


def hold(connection: Connection, name: str, reason: str, now: float) -> None:
    """Pause ``name`` for a person, until `let_go`."""
    _write(connection, name, held_at=now, held_reason=reason)
    doorbell.ring(connection, doorbell.LANES)


def let_go(connection: Connection, name: str) -> None:
    """End what `hold` began."""
    _set(connection, name, held_at=None, held_reason=None)
    doorbell.ring(connection, doorbell.LANES)


def held(connection: Connection) -> dict[str, str]:
    """The lanes that a person paused, and why."""
    rows = connection.execute(
        select(*lane.c["name", "held_reason"]).where(lane.c.held_at.is_not(None))
    )
    return {row.name: row.held_reason or "" for row in rows}


def claim_within(
    connection: Connection,
    owner: str,
    waiting_on: str,
    wanted: int,
    *,
    by: str,
    limits: tuple[Limit, ...],
    clock: Callable[[], float],
    guard: Guard,
    among: Sequence[str] | None = None,
    room: Mapping[str, int] | None = None,
    load: Load | None = None,
) -> tuple[list[Claim], float]:
    """Lease what is due on ``waiting_on``, as much as the limits of ``by`` allow.

    Also answers when they allow more. The lane's row is locked meanwhile, so that
    couriers never take the same allowance twice, and the clock is read after that.
    """
    kept = _locked_allowance(connection, by)
    allowance = Allowance(limits, kept)
    now = clock()
    allowed = allowance.left(wanted, now)
    claims = leases.claim(
        connection, owner, waiting_on, allowed, now, guard, among, room, load
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
        connection.execute(lane.insert().values(name=name, **values))


def _set(connection: Connection, name: str, **values: Any) -> bool:
    """Whether ``name`` has a row to set values in."""
    done = connection.execute(update(lane).where(lane.c.name == name).values(**values))
    return done.rowcount == 1
