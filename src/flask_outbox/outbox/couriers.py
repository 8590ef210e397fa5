"""Couriers' heartbeats: who works on this outbox, and who is dead."""

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
    """What a courier's row said: it changes each time that the courier renews."""

    courier: str
    process: str
    seen_at: float
    lease_until: float

    @property
    def lease_seconds(self) -> float:
        """How long the courier may be silent."""
        return self.lease_until - self.seen_at


class HeartbeatWatch:
    """Says which couriers are silent. Safe to share between threads.

    Guarantees that a courier counts as silent only after its heartbeat has not changed
    for a whole lease by *our* ``clock``, which is steady: no clock of a machine or of a
    database that jumps makes the living look dead.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[Heartbeat, float] = {}
        """The last heartbeat of each courier, and when we saw it first."""

    def saw(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat that we have written ourselves."""
        with self._lock:
            self._since.setdefault(heartbeat, self._clock())

    def silent(self, heartbeats: Collection[Heartbeat]) -> list[Heartbeat]:
        """Those of all couriers' heartbeats that have not changed for a lease."""
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
    """Announce a courier of this process, with a first lease until ``until``.

    Once more does no harm: the answer to the first time may have been lost.
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
    """Extend all leases of a courier; None when it was taken for dead meanwhile."""
    changed = connection.execute(
        update(courier)
        .where(courier.c.id == courier_id)
        .values(seen_at=now, lease_until=until)
    )
    if changed.rowcount != 1:
        return None
    return Heartbeat(courier_id, this_process(), now, until)


def unregister(connection: Connection, courier_id: str) -> None:
    """Forget a courier."""
    connection.execute(delete(courier).where(courier.c.id == courier_id))


def heartbeats(connection: Connection) -> tuple[list[Heartbeat], list[str]]:
    """All couriers' heartbeats, and owners of leases who have none.

    Owners are looked up first: whoever leases something has registered before.
    """
    owners = connection.scalars(
        select(message.c.lease_owner).where(message.c.state == LEASED).distinct()
    ).all()
    rows = connection.execute(
        select(*courier.c["id", "process", "seen_at", "lease_until"])
    )
    found = [Heartbeat(*row) for row in rows]
    return found, sorted(set(owners) - {one.courier for one in found})


def strike_off(connection: Connection, dead: Heartbeat) -> bool:
    """Delete a courier's row unless it has renewed since it was read."""
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
    """Names this process for all time: machine, namespace, number and start.

    ``""`` where the system does not tell; then only the lease says who is dead.
    """
    return _name(os.getpid())


def is_gone(process: str) -> bool:
    """Whether ``process`` certainly ended. Never true of one on another machine.

    A process that the system hides from us (``hidepid`` of proc(5)) may live: it is
    gone only when the system knows no process of its number, or shows another one.
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
    """Whether the system knows a process of this number, be it whose it may."""
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
    """This boot of this machine, and the namespace in which its numbers count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; "" when it has ended.

    None where we may not know. Fields 3 and 22 of ``/proc/PID/stat``, see proc(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
