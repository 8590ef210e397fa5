"""Pruning: deletes the content of finished messages first, and their rows later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, func, select

from ..delivery import State
from . import attachments, audit, measuring, received, stats
from .batches import delete_empty
from .database import Database
from .schema import content, message
from .webhook_feed import step_back

PRUNE_LIMIT = 500
"""The most messages that one transaction prunes, so that the write lock is short."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many messages lost their content, and how many were deleted."""

    bodies: int = 0
    rows: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(self.bodies + other.bodies, self.rows + other.rows)

    def __bool__(self) -> bool:
        return bool(self.bodies or self.rows)


def steps(
    database: Database,
    now: float,
    bodies_seconds: float,
    rows_seconds: float,
    audit_seconds: float | None,
    line: audit.Draft,
) -> Iterator[Pruned]:
    """Prune all, in a small transaction for each step; see `Outbox.prune_steps`."""
    rows_before = now - rows_seconds
    counted = line.counting(prune, many=lambda step: step.bodies + step.rows)
    while step := database.write(
        lambda conn: counted(conn, now - bodies_seconds, rows_before)
    ):
        yield step
    leftovers: list[Callable[[Connection], object]] = [
        attachments.delete_unused,
        lambda conn: measuring.count_reports(conn, now),
        lambda conn: received.delete_old(conn, rows_before),
        lambda conn: stats.shrink(conn, now, rows_before),
    ]
    if audit_seconds is not None:
        before = now - audit_seconds
        leftovers.append(lambda conn: audit.delete_old(conn, before))
    for tidy in leftovers:
        while database.write(tidy):
            yield Pruned()


def prune(connection: Connection, bodies_before: float, rows_before: float) -> Pruned:
    """Prune one step: content finished before ``bodies_before``, then rows.

    Times are in epoch seconds. Messages that are *unknown* (a person must decide) or
    *moving* are never pruned. Batches without messages are deleted, too.
    """
    bodies = _finished(connection, bodies_before, with_content=True)
    connection.execute(delete(content).where(content.c.message_id.in_(bodies)))
    rows = _finished(connection, rows_before, with_content=False)
    connection.execute(delete(message).where(message.c.id.in_(rows)))
    if rows:
        step_back(connection)
    else:
        delete_empty(connection, rows_before, PRUNE_LIMIT)
    return Pruned(len(bodies), len(rows))


def prunable(
    connection: Connection, bodies_before: float, rows_before: float
) -> Pruned:
    """How much repeated calls of `prune` would delete."""
    bodies, rows = (
        connection.scalar(select(func.count()).select_from(wanted.subquery()))
        for wanted in (
            _which(bodies_before, with_content=True),
            _which(rows_before, with_content=False),
        )
    )
    return Pruned(bodies or 0, rows or 0)


def _finished(
    connection: Connection, before: float, *, with_content: bool
) -> list[str]:
    wanted = _which(before, with_content=with_content).limit(PRUNE_LIMIT)
    locked = wanted.with_for_update(of=message, skip_locked=True)
    return list(connection.scalars(locked))


def _which(before: float, *, with_content: bool) -> Select[tuple[str]]:
    wanted = select(message.c.id).where(
        message.c.finished_at < before,
        message.c.state.not_in((State.UNKNOWN.value, State.MOVING.value)),
    )
    if with_content:
        wanted = wanted.join(content, content.c.message_id == message.c.id)
    return wanted
