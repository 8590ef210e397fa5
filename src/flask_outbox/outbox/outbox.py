"""The outbox: stores each message from ``send()`` until it is pruned.

A call that changes something returns once the change is durable, or raises one of our
errors with nothing changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from ..alerts import NO_ALERTS, Alert, AlertNews, AlertRules
from ..bounce_address import BounceAddress
from ..delivery import Reply, State
from ..errors import MessageNotFound, StoreError, TransitionRefused
from ..feedback import Feedback
from ..feedback.provider import OneTimeToken
from ..feedback.rules import NO_RULES, FeedbackRules
from ..limits import FIVE_DAYS, Limit, RetryWindow
from ..message import AddressLike
from ..message.serialize import Stored
from ..recipient_guard import OFF, Guard
from . import (
    alerts,
    attachments,
    audit,
    auto_suppress,
    backlog,
    claim,
    couriers,
    due,
    enqueue,
    fates,
    folding,
    key_register,
    lanes,
    measuring,
    prune,
    read,
    received,
    rescue,
    search,
    sensitive,
    stats,
    suppressions,
    webhook_queue,
)
from .actions import MessageActions, not_found
from .backlog import Backlog
from .claim import Began, Load, Record, Rendition
from .couriers import HeartbeatWatch, is_gone
from .database import Database, Locked
from .ids import new_id
from .measuring import Measurements
from .prune import Pruned
from .received import Received
from .records import (
    Act,
    Actor,
    AuditPage,
    AuditSearch,
    Claim,
    Count,
    CourierRecord,
    FeedbackTaken,
    LaneRecord,
    MailboxCursor,
    MessageRecord,
    MessageSummary,
    NewMessage,
    OutboxStatus,
    Overview,
    Page,
    Receipt,
    Recorded,
    Search,
    SuppressedListed,
    Suppression,
    Tab,
    TransferChunk,
    audit_target,
)
from .rekey import rows_left
from .schema import REVISION
from .statements import Row
from .stats import Stats
from .suppressions import EVERYTHING

P = ParamSpec("P")
T = TypeVar("T")


VIEW_SECONDS = 600.0
"""Who views the same content again within this time is recorded once."""

_ACTS: Mapping[str, Act] = {
    "cancel": Act.CANCEL,
    "retry": Act.RETRY,
    "release": Act.RELEASE,
    "drop": Act.DROP,
    "send_again": Act.SEND_AGAIN,
}
"""By the method of `MessageActions`."""


class Outbox:
    """The durable store of messages. Safe to share between threads.

    ``clock`` returns epoch seconds, by default by the database's clock. Recipients that
    ``guard`` bars are suppressed, as if they were on the suppression list. A message
    that a person has sent again is tried for its ``retry_window``, from then on.
    ``feedback_rules`` say what follows from a report or a refusal; by default nothing.
    ``alert_rules`` say when there is an alert; by default never.
    If it is ``traced``, claims have the traces of their messages.
    ``steady_clock`` measures how long couriers have been silent: by default the given
    ``clock``, or the system's monotonic one.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] | None = None,
        guard: Guard = OFF,
        steady_clock: Callable[[], float] | None = None,
        retry_window: RetryWindow = FIVE_DAYS,
        feedback_rules: FeedbackRules = NO_RULES,
        bounces: BounceAddress | None = None,
        alert_rules: AlertRules = NO_ALERTS,
        traced: bool = False,
    ) -> None:
        self.database = database
        self._write = database.write
        self.guard = guard
        self.clock: Callable[[], float] = clock or database.now
        self.retry_window = retry_window
        self.feedback_rules = feedback_rules
        self.bounces = bounces
        """Where reports about the app's mail come back, if anywhere."""
        self.alert_rules = alert_rules
        self._traced = traced
        self._watch = HeartbeatWatch(steady_clock or clock or time.monotonic)

    # Enqueueing

    def enqueue(
        self, messages: Sequence[NewMessage], owner: str | None = None
    ) -> list[Receipt]:
        """Store ``messages``, all or none; leased to the courier ``owner`` if given.

        A message whose ``key`` exists is not stored again: its receipt names the
        existing one. If another open transaction has the same key or attachment, this
        call waits for its end without delaying other callers (except on SQLite, which
        has one write lock). Raises `OutboxUnavailable` with nothing stored.
        """
        work = enqueue.Enqueue(messages, owner, self.guard)
        if not work.may_block:
            return self._write(work)
        try:
            return self.database.write_with_lock_retry(work)
        except Locked as error:
            keys = [new.key for new in messages if new.key is not None]
            if not keys:
                raise
            raise Locked(
                f"Another transaction, open for too long, may be storing a message "
                f"with the key {', '.join(map(repr, keys))}, so whether it exists "
                "cannot be determined. If it is the app's own transaction, pass "
                "session=. Nothing was stored.",
                anchor="undecided",
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
        above: int | None = None,
    ) -> list[Claim]:
        """Lease up to ``limit`` due messages of ``lane`` to the courier ``owner``.

        ``among`` restricts them to these ids, and ``above`` to higher priorities.
        ``room`` limits how many come from a queue, and ``load`` how many bytes; it then
        records what was too large. A claim without recipients is of a message that is
        finished already: all its recipients are barred, or its rows cannot be read.
        """
        now = self.clock()
        return self.database.write_apart(
            lambda conn: self._with_traces(
                conn,
                claim.claim(
                    conn, owner, lane, limit, now, self.guard, among, room, load, above
                ),
            )
        )

    def _with_traces(self, connection: Connection, claims: list[Claim]) -> list[Claim]:
        return claim.with_traces(connection, claims) if self._traced else claims

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
        """Lease messages due on ``waiting_on``, as many as ``limits`` of ``by`` allow.

        Also returns when they allow more, in epoch seconds. No limit is exceeded,
        however many couriers there are: a message counts as soon as it is leased.
        """

        def work(connection: Connection) -> tuple[list[Claim], float]:
            claims, next_at = lanes.claim_within(
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
            return self._with_traces(connection, claims), next_at

        return self._write(work)

    def begin(self, claimed: Claim) -> bool:
        """Record that an attempt begins; False if its lease was lost."""
        return self._write(lambda conn: claim.begin(conn, claimed))

    def record(
        self,
        records: Sequence[Record],
        notes: Sequence[Row] = (),
        begun: Sequence[Began] = (),
        rendered: Sequence[Rendition] = (),
    ) -> Recorded:
        """Record the ends of attempts; return whose lease was lost, and who is
        suppressed because a server has refused the address as not existing.

        ``notes`` (`enqueue.event_row`) are events that change no state. Where an
        attempt in ``begun`` has ended too, one event says both. Each of ``rendered`` is
        stored in place of its template.
        """
        refused = auto_suppress.refused(records, self.feedback_rules, self.guard)

        def work(connection: Connection) -> Recorded:
            lost = claim.record(connection, records, notes, begun)
            new = auto_suppress.suppress_refused(
                connection, refused, lost, self.guard.erased
            )
            if rendered:
                lost += claim.store_renditions(connection, rendered)
            return Recorded(lost, new)

        return self._write(work)

    def check(self) -> None:
        """Return if the outbox can be written; raise what a write would raise."""
        self._write(claim.check_writable)

    def check_durable(self) -> None:
        """Return once a row was written and deleted again, durably and at one go.

        Raises `SchemaError` if the tables are not those of this version, and what a
        write would raise.
        """
        self.database.check_version()
        probe, now = new_id(), self.clock()

        def work(connection: Connection) -> None:
            couriers.register(connection, probe, "probe", now, now)
            couriers.unregister(connection, probe)

        self._write(work)

    def lanes_down(self) -> tuple[str, ...]:
        """The lanes whose transport fails, by name."""
        with self.database.reading() as connection:
            return lanes.down(connection)

    def couriers(self) -> tuple[CourierRecord, ...]:
        """The couriers of this outbox."""
        with self.database.reading() as connection:
            return read.couriers(connection, self.clock())

    def next_due_at(self, lane: str, full: Collection[str] = ()) -> float | None:
        """When the next pending message of ``lane`` is due, in epoch seconds, if any.

        Ignores those in ``full`` queues.
        """
        with self.database.reading() as connection:
            return due.next_due_at(connection, lane, full)

    def next_due_by_lane(self) -> dict[str, float]:
        """When the next message of each lane with pending messages is due, in epoch
        seconds.
        """
        with self.database.reading() as connection:
            return due.next_due_by_lane(connection)

    def anything_due(self, lanes: Collection[str] | None = None) -> bool:
        """Whether any message, or one on these lanes, is due or being delivered."""
        with self.database.reading() as connection:
            return read.anything_due(connection, self.clock(), lanes)

    # Couriers and their leases

    def register(self, courier: str, engine: str, lease_seconds: float) -> None:
        """Register a courier whose leases run for ``lease_seconds``."""
        now = self.clock()
        until = now + lease_seconds
        self._watch.saw(
            self._write(
                lambda conn: couriers.register(conn, courier, engine, now, until)
            )
        )

    def renew(self, courier: str, lease_seconds: float) -> bool:
        """Extend all of a courier's leases; False if it was declared dead.

        Does not wait for other writes of this process.
        """
        self.database.set_clock()
        now = self.clock()
        until = now + lease_seconds
        heartbeat = self.database.write_ungrouped(
            lambda conn: couriers.renew(conn, courier, now, until)
        )
        if heartbeat is not None:
            self._watch.saw(heartbeat)
        return heartbeat is not None

    def resign(self, courier: str) -> None:
        """Remove a courier; messages still leased to it are returned untried."""
        now = self.clock()

        def work(connection: Connection) -> None:
            leased = rescue.leased_to(connection, courier)
            rescue.return_untried(
                connection, courier, leased, "its courier stopped", now
            )
            couriers.unregister(connection, courier)

        self._write(work)

    def rescue(self, *, hold_unknown: bool) -> list[tuple[str, str, State]]:
        """Take over the messages of dead couriers.

        Returns each message's id, its courier, and its new state. A courier is dead if
        its process is gone, if it has not renewed for a whole lease while this process
        watched, or if it has leases but no heartbeat.
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
                one.courier for one in dead if couriers.remove_if_dead(connection, one)
            ]
            owners += [
                one for one in nobodys if not couriers.is_registered(connection, one)
            ]
            return [
                (message_id, owner, state)
                for owner in owners
                for message_id, state in rescue.rescue(
                    connection, owner, now, hold_unknown=hold_unknown
                )
            ]

        return self._write(work)

    def leased_to(self, courier: str) -> list[str]:
        """The ids of all messages that are leased to ``courier`` in the database."""
        with self.database.reading() as connection:
            return rescue.leased_to(connection, courier)

    def return_untried(self, courier: str, ids: Collection[str], reason: str) -> None:
        """Return, untried, those of ``ids`` that are leased to ``courier``."""
        now = self.clock()
        self._write(lambda conn: rescue.return_untried(conn, courier, ids, reason, now))

    def resend_unknown(self) -> list[str]:
        """Make *unknown* messages pending once their wait is over; return their ids."""
        now = self.clock()
        return self._write(lambda conn: rescue.resend_unknown(conn, now))

    def hasten(self, *, deferred: bool) -> int:
        """Make messages due that wait only because a clock was set back; how many.

        With ``deferred``, all deferred messages become due, too.
        """
        now = self.clock()
        return self._write(lambda conn: rescue.hasten(conn, now, deferred=deferred))

    def write_stats(self, rows: Sequence[Row]) -> None:
        """Store a courier's counts (`stats_row`), replacing its earlier ones."""
        self._write(lambda conn: stats.write(conn, rows))

    # Lanes

    def pause_lane(self, name: str, until: float, reason: str) -> None:
        """Pause the lane ``name``, whose transport fails, until ``until``."""
        now = self.clock()
        self._write(lambda conn: lanes.pause(conn, name, until, reason, now))

    def resume_lane(self, name: str) -> None:
        """End what `pause_lane` began."""
        self._write(lambda conn: lanes.resume(conn, name))

    def forget_lane(self, name: str) -> None:
        """End what `pause_lane` began, and keep nothing of a lane that is not in use:
        no person paused it, and its limits are not in use.
        """
        now = self.clock()
        self._write(lambda conn: lanes.forget(conn, name, now))

    def pause_lane_by_operator(
        self, name: str, reason: str, actor: Actor | None = None
    ) -> None:
        """Pause the lane ``name`` for a person; its messages wait, without fallback.

        Each courier stops when it is notified or polls (``OUTBOX_POLL_SECONDS``).
        """
        now = self.clock()
        line = audit.draft(actor, Act.PAUSE_LANE, now, name)
        self._write(
            line.beside(lambda conn: lanes.pause_by_operator(conn, name, reason, now))
        )

    def resume_lane_by_operator(self, name: str, actor: Actor | None = None) -> None:
        """End what `pause_lane_by_operator` began."""
        line = audit.draft(actor, Act.RESUME_LANE, self.clock(), name)
        self._write(line.beside(lambda conn: lanes.resume_by_operator(conn, name)))

    def lanes_paused_by_operator(self) -> dict[str, str]:
        """The lanes that a person paused, and the reasons."""
        with self.database.reading() as connection:
            return lanes.paused_by_operator(connection)

    def lanes(self) -> list[LaneRecord]:
        """Every lane that is paused or has messages waiting."""
        with self.database.reading() as connection:
            return read.lanes(connection, self.clock())

    # Alerts

    def look_for_alerts(self) -> list[AlertNews]:
        """Begin alerts whose cause is there, end those whose cause is gone, and return
        what the caller is to tell; then `note_told`.

        Each news goes to one caller on all machines. If that does not note that it is
        told, it goes to another after a minute. Costs a few looks into indexes while
        nothing changes.
        """
        if not self.alert_rules.limits:
            return []
        with self.database.reading() as connection:
            now = self.clock()
            found = alerts.causes(connection, self.alert_rules, now)
            if not alerts.anything_new(connection, found, now):
                return []
        return self.database.write_apart(
            lambda conn: alerts.look(conn, found, self.clock())
        )

    def note_told(
        self,
        news: AlertNews,
        endpoints: Collection[str] = (),
        give_up_seconds: float = 0.0,
    ) -> None:
        """Note that this is told, and queue a webhook of it for each of ``endpoints``.

        Of two who note the same, the second changes nothing.
        """
        now = self.clock()

        def work(connection: Connection) -> None:
            if alerts.told(connection, news):
                webhook_queue.add_alert(
                    connection, endpoints, news, now, give_up_seconds
                )

        self.database.write_apart(work)

    def alerts(self) -> tuple[Alert, ...]:
        """The alerts that last, the oldest first."""
        with self.database.reading() as connection:
            return read.alerts(connection, self.alert_rules)

    # What a person may do

    def act(
        self,
        action: Callable[Concatenate[MessageActions, P], T],
        message_id: str,
        actor: Actor | None = None,
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Carry out ``action``, one of `MessageActions`, on a message.

        The audit trail has it if ``actor`` is given, here and wherever else a person
        may do something. Raises `MessageNotFound`, and `TransitionRefused` with nothing
        changed.
        """
        now = self.clock()
        line = audit.draft(actor, _ACTS[action.__name__], now, message_id)

        def work(connection: Connection) -> T:
            message = self._actions(connection, message_id, now)
            return action(message, *args, **options)

        return self._write(line.beside(work))

    def act_on_each(
        self,
        action: Callable[[MessageActions], object],
        message_ids: Collection[str],
        actor: Actor | None = None,
        note: str = "",
    ) -> dict[str, str]:
        """Carry out ``action`` on each of these messages, in one transaction.

        Returns the messages for which it is refused, and why; they are unchanged. The
        audit trail has a line for each of the others, with ``note``.
        """
        now, act = self.clock(), _ACTS[action.__name__]
        lines = {one: audit.draft(actor, act, now, one, note) for one in message_ids}

        def work(connection: Connection) -> dict[str, str]:
            refused = {}
            for one in lines:
                try:
                    action(self._actions(connection, one, now))
                except (MessageNotFound, TransitionRefused) as error:
                    refused[one] = str(error)
            done = [line for one, line in lines.items() if one not in refused]
            audit.write_all(connection, done)
            return refused

        return self._write(work)

    def _actions(
        self, connection: Connection, message_id: str, now: float
    ) -> MessageActions:
        return MessageActions(
            connection, message_id, now, self.retry_window, self.guard, self.bounces
        )

    # The tables

    def upgrade(self, act: Act = Act.UPGRADE, actor: Actor | None = None) -> None:
        """Make the tables, or bring them to this version if they are older.

        If that changes anything, the audit trail has it as ``act`` of ``actor``.
        """

        def note(connection: Connection) -> None:
            audit.draft(actor, act, self.clock(), REVISION).write(connection)

        self.database.upgrade(note=note)

    # The audit trail

    def note_act(
        self,
        actor: Actor | None,
        act: Act,
        target: str = "",
        note: str = "",
        many: int = 1,
    ) -> audit.Draft:
        """Have the audit trail say that ``actor`` does this, before it is done.

        What is returned counts, in the transactions of the act, how many it concerns.
        """
        line = audit.draft(actor, act, self.clock(), target, note)
        if actor is not None:
            self._write(lambda conn: line.write(conn, many))
        return line

    def count_act(self, line: audit.Draft, more: int) -> None:
        """Have a line of the audit trail (`note_act`) count ``more``."""
        self._write(lambda conn: line.count(conn, more))

    def note_view(self, actor: Actor | None, message_id: str) -> None:
        """Have the audit trail say that ``actor`` views a message's content, unless it
        says so already of the last `VIEW_SECONDS`.
        """
        if actor is None:
            return
        since = self.clock() - VIEW_SECONDS
        with self.database.reading() as connection:
            if audit.seen(connection, actor, message_id, since):
                return
        self.note_act(actor, Act.VIEW, message_id)

    def audit_trail(
        self, wanted: AuditSearch | None = None, limit: int = 50
    ) -> AuditPage:
        """The newest lines of the audit trail that match ``wanted``."""
        with self.database.reading() as connection:
            return audit.find(connection, wanted or AuditSearch(), limit)

    # Suppressions

    def suppress(
        self,
        address: AddressLike,
        *,
        list: str = EVERYTHING,
        reason: str = "",
        source: str = "api",
        actor: Actor | None = None,
    ) -> Suppression:
        """Bar ``address`` from mail with the tag ``list``, or by default from all mail.

        Once this has returned, no courier claims a message for it. An existing
        suppression stays unchanged and is returned. Raises `MessageError`.
        """
        entry = suppressions.new_suppression(
            address, list, reason, source, self.clock()
        )
        line = audit.draft(
            actor, Act.SUPPRESS, self.clock(), audit_target(entry.address), entry.list
        )
        return self._write(
            line.beside(
                lambda conn: suppressions.add_one(conn, entry, self.guard.erased)
            )
        )

    def suppress_all(
        self, entries: Sequence[Suppression], line: audit.Draft = audit.NOBODYS
    ) -> int:
        """Store ``entries`` (`new_suppression`), all or none; how many are new.

        ``line`` of the audit trail counts them (`note_act`).
        """

        def work(connection: Connection) -> int:
            added = suppressions.add(connection, entries, self.guard.erased)
            line.count(connection, added)
            return added

        return self._write(work)

    def suppress_listed(
        self,
        entries: Sequence[Suppression],
        *,
        dry_run: bool = False,
        line: audit.Draft = audit.NOBODYS,
    ) -> SuppressedListed:
        """Store what a provider lists, all or none, but for what was listed before
        somebody unsuppressed it. A dry run only says what would be stored.

        ``line`` of the audit trail counts what was stored (`note_act`).
        """
        if dry_run:
            with self.database.reading() as connection:
                return auto_suppress.suppress_listed(
                    connection, entries, self.guard.erased, dry_run=True
                )

        def work(connection: Connection) -> SuppressedListed:
            became = auto_suppress.suppress_listed(
                connection, entries, self.guard.erased, dry_run=False
            )
            line.count(connection, len(became.added))
            return became

        return self._write(work)

    def unsuppress(
        self,
        address: AddressLike,
        *,
        list: str = EVERYTHING,
        source: str | None = None,
        actor: Actor | None = None,
    ) -> bool:
        """Remove a suppression; False if there was none.

        With ``source``, only if it came from there. What was reported of the address
        before does not bring the suppression back.
        """
        now = self.clock()
        target = audit_target(suppressions.on_the_list(address))
        line = audit.draft(actor, Act.UNSUPPRESS, now, target, list)
        return self._write(
            line.beside(
                lambda conn: suppressions.remove(
                    conn, address, list, source, now, self.guard.erased
                ),
                many=int,
            )
        )

    def suppressions(
        self, list: str | None = None, source: str | None = None
    ) -> Iterator[Suppression]:
        """All suppressions, or those of one list or from one source, ordered by
        address if that is not encrypted; read in pages.
        """
        return suppressions.read(self.database.reading, list, source)

    def suppressions_of(self, address: AddressLike) -> Sequence[Suppression]:
        """The suppressions of ``address``, on all lists. Raises `AddressError`."""
        wanted = suppressions.on_the_list(address)
        with self.database.reading() as connection:
            found = suppressions.find(connection, [wanted], self.guard.erased)
        return [one for some in found.values() for one in some]

    def unknown_digests(self) -> int:
        """How many suppressions of erased people suppress nobody: the keys of this app
        are others than that with which their digests were made.
        """
        with self.database.reading() as connection:
            return suppressions.count_unknown_digests(connection, self.guard.erased)

    def barred(self, addresses: Collection[str], tag: str | None) -> dict[str, Reply]:
        """Which of ``addresses`` must not get a message with ``tag``, and why."""
        with self.database.reading() as connection:
            found = suppressions.find(connection, addresses, self.guard.erased)
        return suppressions.barred(found, addresses, tag, self.guard)

    def barred_of(self, records: Collection[MessageRecord]) -> dict[str, set[str]]:
        """Of each message, by its id, the recipients who must not be mailed now."""
        to = {one.id: [who.address for who in one.recipients] for one in records}
        everyone = chain.from_iterable(to.values())
        with self.database.reading() as connection:
            found = suppressions.find(connection, everyone, self.guard.erased)
        return {
            one.id: {*suppressions.barred(found, to[one.id], one.tag, self.guard)}
            for one in records
        }

    # What happens after the next hop

    def take_feedback(
        self, reports: Sequence[Feedback], token: OneTimeToken | None = None
    ) -> FeedbackTaken:
        """Store what others report, and what follows from it, in one commit.

        A report that was taken before, by any receiver, changes nothing. The order in
        which reports come makes no difference to fates and suppressions. One whose
        message is not here is kept for `match_feedback`. The caller sends
        `FeedbackTaken.announcements`. Raises `EventsRefused`, and stores nothing, if
        the ``token`` that they came with was used for others.
        """
        now = self.clock()
        taken = [Received.of(one, now) for one in reports]
        if not taken and token is None:
            return FeedbackTaken()
        return self.database.write_apart(
            lambda conn: fates.take(
                conn, taken, token, self.feedback_rules, now, self.guard.erased
            )
        )

    def mailbox_cursor(self, name: str) -> MailboxCursor | None:
        """How far the mailbox ``name`` was read; None if none of it was."""
        with self.database.reading() as connection:
            return received.read_cursor(connection, name)

    def note_mailbox_cursor(self, name: str, cursor: MailboxCursor) -> None:
        """Note how far the mailbox ``name`` was read."""
        self.database.write_apart(
            lambda conn: received.write_cursor(conn, name, cursor)
        )

    def match_feedback(self) -> FeedbackTaken:
        """Apply reports whose message has come since; the caller announces them.

        Looks at those that are due for another look: each at twice its age, and for
        three days. Costs one look into an index if there are none.
        """
        now = self.clock()
        with self.database.reading() as connection:
            if not received.anything_to_match(connection, now):
                return FeedbackTaken()
        return self.database.write_apart(
            lambda conn: fates.match(conn, self.feedback_rules, now, self.guard.erased)
        )

    # Reading

    def get(self, message_id: str) -> MessageRecord:
        """Everything about a message except its content. Raises `MessageNotFound`."""
        with self.database.reading() as connection:
            found = read.get(connection, message_id)
        if found is None:
            raise not_found(message_id)
        return found

    def content(self, message_id: str, *, even_hidden: bool = False) -> bytes | None:
        """The content, as RFC 5322 bytes; None if it is pruned or not yet rendered.

        Raises `SensitiveContent` for a message whose content is shown to nobody, unless
        it is asked for ``even_hidden``.
        """
        with self.database.reading() as connection:
            if not even_hidden:
                sensitive.refuse_hidden(connection, message_id)
            kept = attachments.stored_content(connection, message_id)
        return kept.body if kept and kept.template is None else None

    def unrendered(self, message_id: str) -> Stored | None:
        """The template and attachments of a message; None once it is rendered."""
        with self.database.reading() as connection:
            kept = attachments.stored_content(connection, message_id)
        return Stored(kept.template, kept.body) if kept and kept.template else None

    def list(
        self, state: State | None = None, limit: int = 50, before: str | None = None
    ) -> list[MessageSummary]:
        """The newest messages, of one state or all, older than the id ``before``."""
        with self.database.reading() as connection:
            return read.summaries(connection, state, limit, before)

    def search(
        self,
        wanted: Search,
        limit: int = 50,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> Page:
        """The newest messages that match ``wanted``, or the page next to another.

        ``before`` is another page's ``older``, ``after`` its ``newer``. The work is
        bounded, however large the outbox is: see `Page`. Raises `AddressError` for the
        beginning of an address, if the outbox is encrypted.
        """
        with self.database.reading() as connection:
            return search.search(connection, wanted, self.clock(), limit, before, after)

    def count(self, wanted: Search) -> Count:
        """How many messages match ``wanted``: at least so many, where counting on would
        be slow.
        """
        with self.database.reading() as connection:
            return search.count(connection, wanted, self.clock())

    def search_folded(
        self,
        wanted: Search,
        limit: int = 50,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> Page:
        """As `search`, with each batch as one row in place of its messages.

        Of ``wanted``, ``since`` and ``until`` apply to batches, too; nothing else does.
        """
        with self.database.reading() as connection:
            return folding.search_folded(
                connection, wanted, self.clock(), limit, before, after
            )

    @property
    def encrypted(self) -> bool:
        """Whether addresses are encrypted, so that only whole ones are found."""
        return self.database.keys is not None

    def counts(self) -> Mapping[Tab, Count]:
        """How many messages are in each tab, counted up to `COUNT_LIMIT`."""
        with self.database.reading() as connection:
            return read.counts(connection, self.clock())

    def overview(self) -> Overview:
        """Counts, lanes and couriers, cheap enough to read often."""
        with self.database.reading() as connection:
            return read.overview(connection, self.clock(), self.alert_rules)

    def paused_lanes(self) -> Sequence[LaneRecord]:
        """The paused lanes, and the reasons; their messages are not counted."""
        with self.database.reading() as connection:
            return read.lane_records(connection, {}, {})

    def change_marker(self, message_id: str | None = None) -> int:
        """A number that changes with each new event of the message, or of any."""
        with self.database.reading() as connection:
            return read.change_marker(connection, message_id)

    def stats(
        self,
        since: datetime,
        until: datetime,
        buckets: int = 60,
        lane: str | None = None,
    ) -> Stats:
        """The outcomes of attempts from ``since`` to ``until``, in equal ``buckets``.

        Counts are stored per minute for a day, then per hour for as long as rows are
        kept (``OUTBOX_KEEP_ROWS``). Couriers write them with their heartbeats, so the
        last counts of a killed courier are missing.
        """
        with self.database.reading() as connection:
            return stats.read(
                connection, since.timestamp(), until.timestamp(), buckets, lane
            )

    def status(self, *, count_rows_left: bool = False) -> OutboxStatus:
        """Exact counts for monitoring, however long counting takes.

        With ``count_rows_left``, also how many rows are still to be encrypted with the
        first key, where there may be such: while it is not known to be the only one in
        use, or others are configured. That reads all rows.
        """
        keys = self.database.keys
        with self.database.reading() as connection:
            found = read.status(connection, self.clock(), self.alert_rules)
            if keys is None:
                return found
            encryption = key_register.status(connection, keys)
            others = encryption.clear or encryption.old_keys or len(keys.ids) > 1
            if count_rows_left and others:
                left = rows_left(connection, keys)
                encryption = replace(encryption, rows_left=left)
            return replace(found, encryption=encryption)

    def measure(self, lanes: Collection[str] = ()) -> Measurements:
        """What monitoring is told, with the attempts on each of ``lanes``.

        As fast with millions of messages as with none, while a courier keeps the
        counts of a large backlog young.
        """
        now = self.clock()
        waiting = self._backlog(now, backlog.OLD_SECONDS)
        with self.database.reading() as connection:
            return measuring.measure(connection, now, waiting, lanes, self.alert_rules)

    def backlog(self, old_seconds: float = backlog.OLD_SECONDS) -> Backlog:
        """What waits: as it is, or if that is much, as it was less than
        ``old_seconds`` ago.

        Counts it if nobody has done so since.
        """
        return self._backlog(self.clock(), old_seconds)

    def backlog_to_keep(self, old_seconds: float) -> Backlog | None:
        """What waits, if it is much and was not counted less than ``old_seconds`` ago:
        counted, for `keep_backlog`.
        """
        found, is_new = self._look_at_backlog(self.clock(), old_seconds)
        return found if is_new else None

    def keep_backlog(self, found: Backlog) -> None:
        """Keep the counts for all processes."""
        self._write(lambda conn: backlog.keep(conn, found))

    def _backlog(self, now: float, old_seconds: float) -> Backlog:
        found, is_new = self._look_at_backlog(now, old_seconds)
        if is_new:
            with suppress(StoreError):  # such as a full disk, which is to be monitored
                self.keep_backlog(found)
        return found

    def _look_at_backlog(self, now: float, old_seconds: float) -> tuple[Backlog, bool]:
        """The backlog, and whether it was counted anew and is to be kept."""
        with self.database.reading() as connection:
            found = backlog.known(connection, now, old_seconds)
            if found is not None:
                return found, False
            return backlog.counted(connection, now), True

    def suppressed_by(self, address: str, tag: str) -> Suppression | None:
        """The suppression that bars mail with ``tag`` to ``address``, if any."""
        with self.database.reading() as connection:
            return suppressions.keeping_from(
                connection, address, tag, self.guard.erased
            )

    def moves(self) -> Sequence[TransferChunk]:
        """The chunks that are half moved from here to other outboxes."""
        with self.database.reading() as connection:
            return read.moves(connection)

    # Pruning

    def prunable(self, bodies_seconds: float, rows_seconds: float) -> Pruned:
        """How much `prune` would delete now."""
        now = self.clock()
        with self.database.reading() as connection:
            return prune.prunable(connection, now - bodies_seconds, now - rows_seconds)

    def prune(
        self,
        bodies_seconds: float,
        rows_seconds: float,
        on_progress: Callable[[Pruned], None] = lambda step: None,
        *,
        audit_seconds: float | None = None,
        line: audit.Draft = audit.NOBODYS,
    ) -> Pruned:
        """Do all `prune_steps`; return what was deleted in all.

        Calls ``on_progress`` after each step with what was deleted in it.
        """
        total = Pruned()
        for step in self.prune_steps(
            bodies_seconds, rows_seconds, audit_seconds=audit_seconds, line=line
        ):
            total += step
            if step:
                on_progress(step)
        return total

    def prune_steps(
        self,
        bodies_seconds: float,
        rows_seconds: float,
        *,
        audit_seconds: float | None = None,
        line: audit.Draft = audit.NOBODYS,
    ) -> Iterator[Pruned]:
        """Delete what was finished too long ago, in a small transaction each.

        Content goes after ``bodies_seconds``, the whole message after ``rows_seconds``,
        and lines of the audit trail after ``audit_seconds``. ``line`` of the audit
        trail counts the messages (`note_act`).
        """
        now = self.clock()

        def prune_some(connection: Connection) -> Pruned:
            step = prune.prune(connection, now - bodies_seconds, now - rows_seconds)
            if step:
                line.count(connection, step.bodies + step.rows)
            return step

        while step := self._write(prune_some):
            yield step
        leftovers: list[Callable[[Connection], object]] = [
            attachments.delete_unused,
            lambda conn: measuring.count_reports(conn, now),
            lambda conn: received.delete_old(conn, now - rows_seconds),
            lambda conn: stats.shrink(conn, now, now - rows_seconds),
        ]
        if audit_seconds is not None:
            before = now - audit_seconds
            leftovers.append(lambda conn: audit.delete_old(conn, before))
        for tidy in leftovers:
            while self._write(tidy):
                yield Pruned()
