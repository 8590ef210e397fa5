"""Pauses of lanes, written down so that every courier and every person sees them."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from .schema import lane


def pause(
    connection: Connection, name: str, until: float, reason: str, now: float
) -> None:
    """Pause ``name``, in place of a pause that it may have."""
    resume(connection, name)
    connection.execute(
        lane.insert().values(
            name=name, paused_until=until, reason=reason, paused_at=now
        )
    )


def resume(connection: Connection, name: str) -> None:
    """End the pause of ``name``, if there is one."""
    connection.execute(delete(lane).where(lane.c.name == name))
