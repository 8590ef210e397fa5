"""Couriers' heartbeats: who works on this outbox, and who is dead."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from .schema import LEASED, courier, message


def register(
    connection: Connection, courier_id: str, engine: str, now: float, until: float
) -> None:
    """Announce a courier of this process, with a first lease until ``until``.

    Once more does no harm: the answer to the first time may have been lost.
    """
    unregister(connection, courier_id)
    connection.execute(
        courier.insert().values(
            id=courier_id,
            engine=engine,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=this_process(),
            started_at=now,
            seen_at=now,
            lease_until=until,
        )
    )


def renew(connection: Connection, courier_id: str, now: float, until: float) -> bool:
    """Extend all leases of a courier; False when it was taken for dead meanwhile."""
    changed = connection.execute(
        update(courier)
        .where(courier.c.id == courier_id)
        .values(seen_at=now, lease_until=until)
    )
    return changed.rowcount == 1


def unregister(connection: Connection, courier_id: str) -> None:
    """Forget a courier."""
    connection.execute(delete(courier).where(courier.c.id == courier_id))


def dead_couriers(connection: Connection, now: float) -> list[str]:
    """Strike off couriers that are dead, and name them.

    Dead is one whose lease ran out, whose process is gone, or who holds leases without
    having a heartbeat at all. Owners are looked up first: whoever leases something has
    registered before.
    """
    owners = connection.scalars(
        select(message.c.lease_owner).where(message.c.state == LEASED).distinct()
    ).all()
    known = connection.execute(select(*courier.c["id", "process", "lease_until"])).all()
    dead = [
        row.id
        for row in known
        if (row.lease_until < now or is_gone(row.process))
        and _strike_off(connection, row.id, row.lease_until)
    ]
    return dead + sorted(set(owners) - {row.id for row in known})


def _strike_off(connection: Connection, courier_id: str, lease_until: float) -> bool:
    """Delete a courier's row unless it has renewed since it was read."""
    struck = connection.execute(
        delete(courier).where(
            courier.c.id == courier_id, courier.c.lease_until == lease_until
        )
    )
    return struck.rowcount == 1


def this_process() -> str:
    """Names this process for all time: machine, namespace, number and start.

    ``""`` where the system does not tell; then only the lease says who is dead.
    """
    return _name(os.getpid())


def is_gone(process: str) -> bool:
    """Whether ``process`` certainly ended. Never true of one on another machine."""
    place, _, rest = process.rpartition(" ")
    pid = rest.partition("@")[0]
    return bool(place) and place == _place() and _name(int(pid)) != process


def _name(pid: int) -> str:
    started = _started(pid)
    return f"{_place()} {pid}@{started}" if _place() and started else ""


@cache
def _place() -> str:
    """This boot of this machine, and the namespace in which its numbers count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot; "" when it has ended.

    Fields 3 and 22 of ``/proc/PID/stat``, see proc(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
