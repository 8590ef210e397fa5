"""Couriers' heartbeats: which couriers work on this outbox, and which are dead."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from .schema import LEASED, courier, message


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A courier's row as it was read. It changes each time the courier renews it."""

    courier: str
    process: str
    seen_at: float
    lease_until: float

    @property
    def lease_seconds(self) -> float:
        """How long the courier may go without renewing."""
        return self.lease_until - self.seen_at


class HeartbeatWatch:
    """Finds couriers that stopped renewing. Safe to share between threads.

    A courier counts as silent only if its heartbeat has not changed for a whole lease,
    measured by this process's monotonic ``clock``. So a jump of another machine's or
    the database's clock never makes a live courier look dead.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[Heartbeat, float] = {}
        """The last heartbeat of each courier, and when it was first seen."""

    def saw(self, heartbeat: Heartbeat) -> None:
        """Record a heartbeat that this process has just written."""
        with self._lock:
            self._since.setdefault(heartbeat, self._clock())

    def silent(self, heartbeats: Collection[Heartbeat]) -> list[Heartbeat]:
        """Those of ``heartbeats`` that have not changed for a whole lease.

        Pass the heartbeats of all couriers: those left out are forgotten.
        """
        with self._lock:
            now = self._clock()
            self._since = {one: self._since.get(one, now) for one in heartbeats}
            return [
                one
                for one, since in self._since.items()
                if now - since > one.lease_seconds
            ]


def register(
    connection: Connection, courier_id: str, engine: str, now: float, until: float
) -> Heartbeat:
    """Register a courier of this process, with a first lease until ``until``.

    May safely be repeated when the result of the first call was lost.
    """
    unregister(connection, courier_id)
    heartbeat = Heartbeat(courier_id, this_process(), now, until)
    connection.execute(
        courier.insert().values(
            id=courier_id,
            engine=engine,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=heartbeat.process,
            started_at=now,
            seen_at=now,
            lease_until=until,
        )
    )
    return heartbeat


def renew(
    connection: Connection, courier_id: str, now: float, until: float
) -> Heartbeat | None:
    """Extend all leases of a courier; None if it was declared dead meanwhile."""
    changed = connection.execute(
        update(courier)
        .where(courier.c.id == courier_id)
        .values(seen_at=now, lease_until=until)
    )
    if changed.rowcount != 1:
        return None
    return Heartbeat(courier_id, this_process(), now, until)


def probe(connection: Connection, courier_id: str, now: float) -> None:
    """Register a courier and delete it again."""
    register(connection, courier_id, "probe", now, now)
    unregister(connection, courier_id)


def unregister(connection: Connection, courier_id: str) -> None:
    """Delete a courier's row."""
    connection.execute(delete(courier).where(courier.c.id == courier_id))


def heartbeats(connection: Connection) -> tuple[list[Heartbeat], list[str]]:
    """All couriers' heartbeats, and the owners of leases that have none.

    Owners are read first. A courier registers before it leases anything, so one that
    has just started is never taken for an owner without a heartbeat.
    """
    owners = connection.scalars(
        select(message.c.lease_owner).where(message.c.state == LEASED).distinct()
    ).all()
    rows = connection.execute(
        select(*courier.c["id", "process", "seen_at", "lease_until"])
    )
    found = [Heartbeat(*row) for row in rows]
    return found, sorted(set(owners) - {one.courier for one in found})


def remove_if_dead(connection: Connection, dead: Heartbeat) -> bool:
    """Delete a dead courier's row; False if it has renewed since it was read."""
    struck = connection.execute(
        delete(courier).where(
            courier.c.id == dead.courier, courier.c.lease_until == dead.lease_until
        )
    )
    return struck.rowcount == 1


def is_registered(connection: Connection, courier_id: str) -> bool:
    """Whether a courier has a heartbeat."""
    found = select(courier.c.id).where(courier.c.id == courier_id)
    return connection.scalar(found) is not None


def this_process() -> str:
    """A name that no other process ever has: boot, PID namespace, PID and start time.

    ``""`` where the system does not provide these. Then a dead courier is noticed only
    when its lease runs out.
    """
    return _name(os.getpid())


def is_gone(process: str) -> bool:
    """Whether ``process`` has certainly ended. Never true for one on another machine.

    A process that the system hides (``hidepid`` of proc(5)) may be alive. It is gone
    only if its PID is free, or visibly belongs to another process.
    """
    place, _, rest = process.rpartition(" ")
    number = rest.partition("@")[0]
    if not place or place != _place() or not number.isdecimal():
        return False
    pid = int(number)
    if not _exists(pid):
        return True
    started = _started(pid)
    return started is not None and f"{place} {pid}@{started}" != process


def _exists(pid: int) -> bool:
    """Whether any user has a process with this PID."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _name(pid: int) -> str:
    started = _started(pid)
    return f"{_place()} {pid}@{started}" if _place() and started else ""


@cache
def _place() -> str:
    """This boot of this machine, and the namespace of its PIDs."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; "" if it has ended.

    None if that cannot be read. Fields 3 and 22 of ``/proc/PID/stat``, see proc(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
