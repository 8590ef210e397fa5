"""The outbox: what is handed over stays here until its story has ended.

Every call that changes something returns once the change is durable, or raises one of
our errors with nothing changed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from ..delivery import Reply, State
from ..guard import OFF, Guard
from ..message import AddressLike
from ..patience import Patience
from ..rate import Limit
from . import (
    again,
    asking,
    attachments,
    conflicts,
    couriers,
    enqueue,
    lanes,
    leases,
    people,
    pruning,
    renditions,
    rescue,
    suppressions,
    waiting,
)
from . import pulse as pulses
from .couriers import HeartbeatWatch, is_gone
from .database import Database, Held
from .hot import Row
from .leases import Record
from .load import Load
from .pruning import Pruned
from .questions import Questions
from .records import (
    Claim,
    LaneRecord,
    NewMessage,
    Receipt,
    Suppression,
)
from .renditions import Rendition
from .suppressions import EVERYTHING

T = TypeVar("T")


class Outbox(Questions):
    """The durable store of messages. Safe to share between threads.

    ``clock`` answers the epoch in seconds, by default the database's. Whom ``guard``
    bars is suppressed, as if on the list of those who must not be mailed. The silence
    of couriers is measured by ``steady_clock``, by default the given ``clock``, or the
    system's monotonic one.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] | None = None,
        guard: Guard = OFF,
        steady_clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(database, clock, guard)
        self._watch = HeartbeatWatch(steady_clock or clock or time.monotonic)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return conflicts.write(self.database, work)

    # Handing over

    def enqueue(
        self, messages: Sequence[NewMessage], owner: str | None = None
    ) -> list[Receipt]:
        """Keep ``messages``, all or none; leased to the courier ``owner`` if given.

        A message whose ``key`` is known is not kept again: its receipt names the one
        that is there. Whoever else has the same key, or the same attachment, in an open
        transaction is waited for, and nobody else waits with it (on SQLite, whoever has
        written has the whole file).
        """
        runs = itertools.count()

        def work(connection: Connection) -> list[Receipt]:
            again = next(runs) > 0
            return enqueue.enqueue(connection, messages, owner, self.guard, again=again)

        if not any(enqueue.may_wait(new) for new in messages):
            return self._write(work)
        try:
            return conflicts.write_patiently(self.database, work)
        except Held as error:
            keys = [new.key for new in messages if new.key is not None]
            if not keys:
                raise
            raise Held(
                f"The key {', '.join(map(repr, keys))} may be in another transaction, "
                "which has been open for too long, so nobody knows whether a message "
                "with it exists. Where that is the app's own, pass session=. Nothing "
                "was stored."
            ) from error

    # Delivering

    def claim(
        self,
        owner: str,
        lane: str,
        limit: int,
        among: Sequence[str] | None = None,
        room: Mapping[str, int] | None = None,
        load: Load | None = None,
    ) -> list[Claim]:
        """Lease up to ``limit`` due messages of ``lane`` to the courier ``owner``.

        With ``among``, only of those; of a queue in ``room``, no more than it says;
        with ``load``, no more than there is room for, and what was left is noted there.
        A claim without recipients is of a message that nobody may get, or can read: it
        is settled.
        """
        now = self.clock()
        return self._write(
            lambda conn: leases.claim(
                conn, owner, lane, limit, now, self.guard, among, room, load
            )
        )

    def claim_within(
        self,
        owner: str,
        waiting_on: str,
        wanted: int,
        by: str,
        limits: tuple[Limit, ...],
        among: Sequence[str] | None = None,
        room: Mapping[str, int] | None = None,
        load: Load | None = None,
    ) -> tuple[list[Claim], float]:
        """Lease what is due on one lane, as much as the ``limits`` of ``by`` allow.

        Also answers when they allow more. Whatever couriers there are, no limit is
        exceeded: what is leased here counts from now on.
        """

        def work(connection: Connection) -> tuple[list[Claim], float]:
            return lanes.claim_within(
                connection,
                owner,
                waiting_on,
                wanted,
                by=by,
                limits=limits,
                clock=self.clock,
                guard=self.guard,
                among=among,
                room=room,
                load=load,
            )

        return self._write(work)

    def begin(self, held: Claim) -> bool:
        """Write down that an attempt begins; False when its lease was lost."""
        return self._write(lambda conn: leases.begin(conn, held))

    def record(
        self,
        records: Sequence[Record],
        notes: Sequence[Row] = (),
        begun: Sequence[Row] = (),
        rendered: Sequence[Rendition] = (),
    ) -> list[Claim]:
        """Record the ends of attempts; return the claims whose lease was lost.

        ``notes`` (`enqueue.event_row`) and ``begun`` (`leases.begun`) are events that
        change no state, and what was ``rendered`` is kept in place of its template.
        """

        def work(connection: Connection) -> list[Claim]:
            lost = leases.record(connection, records, notes, begun)
            return lost + renditions.keep(connection, rendered)

        return self._write(work)

    def check(self) -> None:
        """Return if the outbox can be written; raises as any other call would."""
        self._write(leases.write_nothing)

    def next_due_at(self, lane: str, full: Collection[str] = ()) -> float | None:
        """When the next pending message of ``lane`` comes due; None without any.

        Those in ``full`` queues are passed over.
        """
        with self.database.reading() as connection:
            return waiting.next_due_at(connection, lane, full)

    def anything_due(self, lanes: Collection[str] | None = None) -> bool:
        """Whether any message, or one on these lanes, is due or being delivered."""
        with self.database.reading() as connection:
            return asking.anything_due(connection, self.clock(), lanes)

    # Couriers and their leases

    def register(self, courier: str, engine: str, lease_seconds: float) -> None:
        """Announce a courier, whose leases run for ``lease_seconds``."""
        now = self.clock()
        until = now + lease_seconds
        self._watch.saw(
            self._write(
                lambda conn: couriers.register(conn, courier, engine, now, until)
            )
        )

    def renew(self, courier: str, lease_seconds: float) -> bool:
        """Extend all of a courier's leases; False when it was taken for dead.

        It waits for nothing else that is written here.
        """
        self.database.set_clock()
        now = self.clock()
        until = now + lease_seconds
        heartbeat = self.database.write_apart(
            lambda conn: couriers.renew(conn, courier, now, until)
        )
        if heartbeat is not None:
            self._watch.saw(heartbeat)
        return heartbeat is not None

    def resign(self, courier: str) -> None:
        """Strike a courier off; what is still leased to it is given back."""
        now = self.clock()

        def work(connection: Connection) -> None:
            leased = rescue.leased_to(connection, courier)
            rescue.give_back(connection, courier, leased, "its courier stopped", now)
            couriers.unregister(connection, courier)

        self._write(work)

    def rescue(self, *, hold: bool) -> list[tuple[str, str, State]]:
        """Take over what dead couriers left: message, courier, and the state it got.

        Dead is one whose process is gone, who has been silent for a whole lease while
        we watched, or who holds leases without a heartbeat.
        """
        with self.database.reading() as connection:
            heartbeats, nobodys = couriers.heartbeats(connection)
        silent = self._watch.silent(heartbeats)
        dead = [one for one in heartbeats if one in silent or is_gone(one.process)]
        if not dead and not nobodys:
            return []
        now = self.clock()

        def work(connection: Connection) -> list[tuple[str, str, State]]:
            owners = [
                one.courier for one in dead if couriers.strike_off(connection, one)
            ]
            owners += [
                one for one in nobodys if not couriers.is_registered(connection, one)
            ]
            return [
                (message_id, owner, state)
                for owner in owners
                for message_id, state in rescue.rescue(
                    connection, owner, now, hold=hold
                )
            ]

        return self._write(work)

    def leased_to(self, courier: str) -> list[str]:
        """Every message that the outbox believes to be leased to ``courier``."""
        with self.database.reading() as connection:
            return rescue.leased_to(connection, courier)

    def give_back(self, courier: str, ids: Collection[str], reason: str) -> None:
        """Make pending again, untried, what is leased to ``courier`` among ``ids``."""
        now = self.clock()
        self._write(lambda conn: rescue.give_back(conn, courier, ids, reason, now))

    def resend_unknown(self) -> list[str]:
        """Make pending again what has been *unknown* for its whole wait."""
        now = self.clock()
        return self._write(lambda conn: rescue.resend_unknown(conn, now))

    def hasten(self, *, deferred: bool) -> int:
        """Make due now what waits only because the clock was put back; how many.

        With ``deferred``, also what was tried before and waits to be tried again.
        """
        now = self.clock()
        return self._write(lambda conn: rescue.hasten(conn, now, deferred=deferred))

    def write_pulse(self, rows: Sequence[Row]) -> None:
        """Keep what a courier has counted (`pulse.row_of`), in place of what it was."""
        self._write(lambda conn: pulses.write(conn, rows))

    # Lanes

    def pause_lane(self, name: str, until: float, reason: str) -> None:
        """Write down that no courier should use the lane ``name`` before ``until``."""
        now = self.clock()
        self._write(lambda conn: lanes.pause(conn, name, until, reason, now))

    def resume_lane(self, name: str) -> None:
        """Open the lane ``name`` again."""
        self._write(lambda conn: lanes.resume(conn, name))

    def hold_lane(self, name: str, reason: str) -> None:
        """Pause the lane ``name`` for a person; messages wait, and nothing stands in.

        Each courier obeys when it is rung for or looks (``OUTBOX_POLL_SECONDS``).
        """
        now = self.clock()
        self._write(lambda conn: lanes.hold(conn, name, reason, now))

    def let_lane_go(self, name: str) -> None:
        """End what `hold_lane` began."""
        self._write(lambda conn: lanes.let_go(conn, name))

    def held_lanes(self) -> dict[str, str]:
        """The lanes that a person paused, and why."""
        with self.database.reading() as connection:
            return lanes.held(connection)

    def lanes(self) -> list[LaneRecord]:
        """Every lane that is paused or has messages waiting."""
        with self.database.reading() as connection:
            return asking.lanes(connection, self.clock())

    # What a person may do

    def cancel(self, message_id: str) -> None:
        """Cancel a pending message; raises `TransitionRefused` where it is too late."""
        now = self.clock()
        self._write(lambda conn: people.cancel(conn, message_id, now))

    def retry(self, message_id: str, patience: Patience) -> None:
        """Make a message due now, for everyone who has not got it."""
        now = self.clock()
        self._write(
            lambda conn: people.retry(conn, message_id, now, patience, self.guard)
        )

    def release(self, message_id: str, patience: Patience) -> None:
        """Make an *unknown* message due now, for those who may not have got it.

        Raises `TransitionRefused` for any other, and `MessageNotFound`.
        """
        now = self.clock()
        self._write(
            lambda conn: people.release(conn, message_id, now, patience, self.guard)
        )

    def drop(self, message_id: str) -> None:
        """Have done with an *unknown* message, which becomes *cancelled*.

        Raises `TransitionRefused` for any other, and `MessageNotFound`.
        """
        now = self.clock()
        self._write(lambda conn: people.drop(conn, message_id, now))

    def send_again(
        self,
        message_id: str,
        patience: Patience,
        origin: Mapping[str, Any] | None = None,
        *,
        by: str | None = None,
        to: Sequence[str] | None = None,
    ) -> Receipt:
        """Keep a new message with what a finished one said, to whom that was sent.

        With ``by`` it leaves by that lane, with ``to`` it goes to these addresses.

        Raises `TransitionRefused` where that one is not done, or its content was
        pruned, and `MessageNotFound`.
        """
        now = self.clock()
        return self._write(
            lambda conn: again.send_again(
                conn, message_id, now, patience, origin, self.guard, by, to
            )
        )

    # Whom not to mail

    def suppress(
        self,
        address: AddressLike,
        *,
        list: str = EVERYTHING,
        reason: str = "",
        source: str = "api",
    ) -> Suppression:
        """Let ``address`` have no mail with the tag ``list``, or none at all.

        Once this has returned no courier takes up a message for it any more. Where it
        is suppressed already that stays as it is, and is answered. Raises
        `MessageError`.
        """
        entry = suppressions.entry(address, list, reason, source, self.clock())
        return self._write(lambda conn: suppressions.add_one(conn, entry))

    def suppress_all(self, entries: Sequence[Suppression]) -> int:
        """Keep ``entries`` (`suppressions.entry`), all or none; how many are new."""
        return self._write(lambda conn: suppressions.add(conn, entries))

    def unsuppress(
        self,
        address: AddressLike,
        *,
        list: str = EVERYTHING,
        source: str | None = None,
    ) -> bool:
        """End what `suppress` began, or ``source``; False where nothing is to end."""
        return self._write(
            lambda conn: suppressions.remove(conn, address, list, source)
        )

    def suppressions(self, list: str | None = None) -> Iterator[Suppression]:
        """All suppressions, or those of one list, by address; read page by page."""
        return suppressions.read(self.database.reading, list)

    def barred(self, addresses: Collection[str], tag: str | None) -> dict[str, Reply]:
        """Who of ``addresses`` must not get a message with ``tag``, and why."""
        with self.database.reading() as connection:
            found = suppressions.find(connection, addresses)
        return suppressions.barred(found, addresses, tag, self.guard)

    # Keeping house

    def prunable(self, bodies_seconds: float, rows_seconds: float) -> Pruned:
        """How much `prune` would find to prune."""
        now = self.clock()
        with self.database.reading() as connection:
            return pruning.prunable(
                connection, now - bodies_seconds, now - rows_seconds
            )

    def prune(
        self,
        bodies_seconds: float,
        rows_seconds: float,
        told: Callable[[Pruned], None] = lambda step: None,
    ) -> Pruned:
        """Prune in small steps until nothing is left to prune.

        ``told`` is called after each step, with what went in it.
        """
        now = self.clock()
        total = Pruned()
        while step := self._write(
            lambda conn: pruning.prune(conn, now - bodies_seconds, now - rows_seconds)
        ):
            total += step
            told(step)
        while self._write(attachments.sweep):
            continue
        while self._write(lambda conn: pulses.shrink(conn, now, now - rows_seconds)):
            continue
        return total
