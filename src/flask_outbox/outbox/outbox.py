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
    lanes,
    measuring,
    prune,
    read,
    received,
    rekey,
    rescue,
    search,
    sensitive,
    stats,
    suppressions,
    webhook_queue,
)
from .actions import MessageActions, act_of, not_found
from .backlog import Backlog
from .claim import Began, Load, Record, Rendition
from .couriers import HeartbeatWatch, is_gone
from .database import Database, Locked
from .group_commit import WorkOf
from .ids import is_id, new_id
from .measuring import Measurements
from .prune import Pruned
from .received import Received
from .records import (
    Act,
    Actor,
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
from .schema import REVISION
from .statements import Row
from .stats import Stats
from .suppressions import EVERYTHING

P = ParamSpec("P")
T = TypeVar("T")


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
        self.guard = guard
        self.clock: Callable[[], float] = clock or database.now
        self.trail = audit.AuditTrail(database, self.clock)
        self.retry_window = retry_window
        self.feedback_rules = feedback_rules
        self.bounces = bounces
        """Where reports about the app's mail come back, if anywhere."""
        self.alert_rules = alert_rules
        self._traced = traced
        self._watch = HeartbeatWatch(steady_clock or clock or time.monotonic)

    def _read(self, question: WorkOf[P, T], *args: P.args, **options: P.kwargs) -> T:
        with self.database.reading() as connection:
            return question(connection, *args, **options)

    def _write(self, work: WorkOf[P, T], *args: P.args, **options: P.kwargs) -> T:
        return self.database.write(lambda conn: work(conn, *args, **options))

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
            return self.database.write(work)
        try:
            return self.database.write_with_lock_retry(work)
        except Locked as error:
            keys = [repr(new.key) for new in messages if new.key is not None]
            if not keys:
                raise
            raise Locked(
                f"Another transaction, open for too long, may be storing a message "
                f"with the key {', '.join(keys)}, so whether it exists cannot be "
                "determined. If it is the app's own transaction, pass session=. "
                "Nothing was stored.",
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
        now, guard, traced = self.clock(), self.guard, self._traced
        return self.database.write_apart(
            lambda conn: claim.claim(
                conn, owner, lane, limit, now, guard, traced, among, room, load, above
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
        """Lease messages due on ``waiting_on``, as many as ``limits`` of ``by`` allow.

        Also returns when they allow more, in epoch seconds. No limit is exceeded,
        however many couriers there are: a message counts as soon as it is leased.
        """
        clock, guard, traced = self.clock, self.guard, self._traced
        return self.database.write(
            lambda conn: lanes.claim_within(
                conn,
                by,
                limits,
                owner,
                waiting_on,
                wanted,
                clock,
                guard,
                traced,
                among,
                room,
                load,
            )
        )

    def begin(self, claimed: Claim) -> bool:
        """Record that an attempt begins; False if its lease was lost."""
        return self._write(claim.begin, claimed)

    def record(
        self,
        records: Sequence[Record],
        notes: Sequence[Row] = (),
        begun: Sequence[Began] = (),
        rendered: Sequence[Rendition] = (),
        waits: bool = True,
    ) -> Recorded:
        """Record the ends of attempts; return whose lease was lost, and who is
        suppressed because a server has refused the address as not existing.

        ``notes`` (`enqueue.event_row`) are events that change no state. Where an
        attempt in ``begun`` has ended too, one event says both. Each of ``rendered`` is
        stored in place of its template. Unless it ``waits``, it raises `Locked` almost
        at once if another transaction has locked a row.
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

        write = self.database.write if waits else self.database.write_unless_locked
        return write(work)

    def check(self) -> None:
        """Return if the outbox can be written; raise what a write would raise."""
        self._write(claim.check_writable)

    def check_durable(self) -> None:
        """Return once a row was written and deleted again, durably and at one go.

        Raises `SchemaError` if the tables are not those of this version, and what a
        write would raise.
        """
        self.database.check_version()
        self._write(couriers.probe, new_id(), self.clock())

    def lanes_down(self) -> tuple[str, ...]:
        """The lanes whose transport fails, by name."""
        return self._read(lanes.down)

    def couriers(self) -> tuple[CourierRecord, ...]:
        """The couriers of this outbox."""
        return self._read(read.couriers, self.clock())

    def next_due_at(self, lane: str, full: Collection[str] = ()) -> float | None:
        """When the next pending message of ``lane`` is due, in epoch seconds, if any.

        Ignores those in ``full`` queues.
        """
        return self._read(due.next_due_at, lane, full)

    def next_due_by_lane(self) -> dict[str, float]:
        """When the next message of each lane with pending messages is due, in epoch
        seconds.
        """
        return self._read(due.next_due_by_lane)

    def anything_due(self, lanes: Collection[str] | None = None) -> bool:
        """Whether any message, or one on these lanes, is due or being delivered."""
        return self._read(read.anything_due, self.clock(), lanes)

    # Couriers and their leases

    def register(self, courier: str, engine: str, lease_seconds: float) -> None:
        """Register a courier whose leases run for ``lease_seconds``."""
        now = self.clock()
        until = now + lease_seconds
        self._watch.saw(self._write(couriers.register, courier, engine, now, until))

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
        self._write(rescue.resign, courier, self.clock())

    def rescue(self, *, hold_unknown: bool) -> list[tuple[str, str, State]]:
        """Take over the messages of dead couriers.

        Returns each message's id, its courier, and its new state. A courier is dead if
        its process is gone, if it has not renewed for a whole lease while this process
        watched, or if it has leases but no heartbeat.
        """
        heartbeats, nobodys = self._read(couriers.heartbeats)
        silent = self._watch.silent(heartbeats)
        dead = [one for one in heartbeats if one in silent or is_gone(one.process)]
        if not dead and not nobodys:
            return []
        return self._write(
            rescue.rescue, dead, nobodys, self.clock(), hold_unknown=hold_unknown
        )

    def leased_to(self, courier: str) -> list[str]:
        """The ids of all messages that are leased to ``courier`` in the database."""
        return self._read(rescue.leased_to, courier)

    def return_untried(self, courier: str, ids: Collection[str], reason: str) -> None:
        """Return, untried, those of ``ids`` that are leased to ``courier``."""
        self._write(rescue.return_untried, courier, ids, reason, self.clock())

    def resend_unknown(self) -> list[str]:
        """Make *unknown* messages pending once their wait is over; return their ids."""
        return self._write(rescue.resend_unknown, self.clock())

    def hasten(self, *, deferred: bool) -> int:
        """Make messages due that wait only because a clock was set back; how many.

        With ``deferred``, all deferred messages become due, too.
        """
        return self._write(rescue.hasten, self.clock(), deferred=deferred)

    def write_stats(self, rows: Sequence[Row]) -> None:
        """Store a courier's counts (`stats_row`), replacing its earlier ones."""
        self._write(stats.write, rows)

    # Lanes

    def pause_lane(self, name: str, until: float, reason: str) -> None:
        """Pause the lane ``name``, whose transport fails, until ``until``."""
        self._write(lanes.pause, name, until, reason, self.clock())

    def resume_lane(self, name: str) -> None:
        """End what `pause_lane` began."""
        self._write(lanes.resume, name)

    def forget_lane(self, name: str) -> None:
        """End what `pause_lane` began, and keep nothing of a lane that is not in use:
        no person paused it, and its limits are not in use.
        """
        self._write(lanes.forget, name, self.clock())

    def pause_lane_by_operator(
        self, name: str, reason: str, actor: Actor | None = None
    ) -> None:
        """Pause the lane ``name`` for a person; its messages wait, without fallback.

        Each courier stops when it is notified or polls (``OUTBOX_POLL_SECONDS``).
        """
        line = self.trail.draft(actor, Act.PAUSE_LANE, name)
        self._write(line.beside(lanes.pause_by_operator), name, reason, self.clock())

    def resume_lane_by_operator(self, name: str, actor: Actor | None = None) -> None:
        """End what `pause_lane_by_operator` began."""
        line = self.trail.draft(actor, Act.RESUME_LANE, name)
        self._write(line.beside(lanes.resume_by_operator), name)

    def lanes_paused_by_operator(self) -> dict[str, str]:
        """The lanes that a person paused, and the reasons."""
        return self._read(lanes.paused_by_operator)

    def lanes(self) -> list[LaneRecord]:
        """Every lane that is paused or has messages waiting."""
        return self._read(read.lanes, self.clock())

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
        return self._read(read.alerts, self.alert_rules)

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
        line = audit.draft(actor, act_of(action), now, message_id)

        def work(connection: Connection) -> T:
            message = self._actions(connection, message_id, now)
            return action(message, *args, **options)

        return self.database.write(line.beside(work))

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
        now, act = self.clock(), act_of(action)
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
        if not is_id(message_id):
            raise not_found(message_id)
        return MessageActions(
            connection, message_id, now, self.retry_window, self.guard, self.bounces
        )

    # The tables

    def upgrade(self, act: Act = Act.UPGRADE, actor: Actor | None = None) -> None:
        """Make the tables, or bring them to this version if they are older.

        If that changes anything, the audit trail has it as ``act`` of ``actor``.
        """

        def note(connection: Connection) -> None:
            self.trail.draft(actor, act, REVISION).write(connection)

        self.database.upgrade(note=note)

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
        target = audit_target(entry.address)
        line = self.trail.draft(actor, Act.SUPPRESS, target, entry.list)
        return self._write(line.beside(suppressions.add_one), entry, self.guard.erased)

    def suppress_all(
        self, entries: Sequence[Suppression], line: audit.Draft = audit.NOBODYS
    ) -> int:
        """Store ``entries`` (`new_suppression`), all or none; how many are new.

        ``line`` of the audit trail counts them (`AuditTrail.note`).
        """
        add = line.counting(suppressions.add, many=int)
        return self._write(add, entries, self.guard.erased)

    def suppress_listed(
        self,
        entries: Sequence[Suppression],
        *,
        dry_run: bool = False,
        line: audit.Draft = audit.NOBODYS,
    ) -> SuppressedListed:
        """Store what a provider lists, all or none, but for what was listed before
        somebody unsuppressed it. A dry run only says what would be stored.

        ``line`` of the audit trail counts what was stored (`AuditTrail.note`).
        """
        erased, work = self.guard.erased, auto_suppress.suppress_listed
        if dry_run:
            return self._read(work, entries, erased, dry_run=True)
        counting = line.counting(work, many=lambda became: len(became.added))
        return self._write(counting, entries, erased, dry_run=False)

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
        target = audit_target(suppressions.on_the_list(address))
        line = self.trail.draft(actor, Act.UNSUPPRESS, target, list)
        remove, now = line.beside(suppressions.remove, many=int), self.clock()
        return self._write(remove, address, list, source, now, self.guard.erased)

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
        found = self._read(suppressions.find, [wanted], self.guard.erased)
        return [one for some in found.values() for one in some]

    def unknown_digests(self) -> int:
        """How many suppressions of erased people suppress nobody: the keys of this app
        are others than that with which their digests were made.
        """
        return self._read(suppressions.count_unknown_digests, self.guard.erased)

    def barred(self, addresses: Collection[str], tag: str | None) -> dict[str, Reply]:
        """Which of ``addresses`` must not get a message with ``tag``, and why."""
        found = self._read(suppressions.find, addresses, self.guard.erased)
        return suppressions.barred(found, addresses, tag, self.guard)

    def barred_of(self, records: Collection[MessageRecord]) -> dict[str, set[str]]:
        """Of each message, by its id, the recipients who must not be mailed now."""
        to = {one.id: [who.address for who in one.recipients] for one in records}
        everyone = chain.from_iterable(to.values())
        found = self._read(suppressions.find, everyone, self.guard.erased)
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
        return self._read(received.read_cursor, name)

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
        if not self._read(received.anything_to_match, now):
            return FeedbackTaken()
        return self.database.write_apart(
            lambda conn: fates.match(conn, self.feedback_rules, now, self.guard.erased)
        )

    # Reading

    def get(self, message_id: str) -> MessageRecord:
        """Everything about a message except its content. Raises `MessageNotFound`."""
        found = self._read(read.get, message_id) if is_id(message_id) else None
        if found is None:
            raise not_found(message_id)
        return found

    def content(self, message_id: str, *, even_hidden: bool = False) -> bytes | None:
        """The content, as RFC 5322 bytes; None if it is pruned or not yet rendered.

        Raises `SensitiveContent` for a message whose content is shown to nobody, unless
        it is asked for ``even_hidden``.
        """
        if not is_id(message_id):
            return None
        with self.database.reading() as connection:
            if not even_hidden:
                sensitive.refuse_hidden(connection, message_id)
            kept = attachments.stored_content(connection, message_id)
        return kept.body if kept and kept.template is None else None

    def unrendered(self, message_id: str) -> Stored | None:
        """The template and attachments of a message; None once it is rendered."""
        kept = self._read(attachments.stored_content, message_id)
        return Stored(kept.template, kept.body) if kept and kept.template else None

    def list(
        self, state: State | None = None, limit: int = 50, before: str | None = None
    ) -> list[MessageSummary]:
        """The newest messages, of one state or all, older than the id ``before``."""
        return self._read(read.summaries, state, limit, before)

    def search(
        self,
        wanted: Search,
        limit: int = 50,
        *,
        before: str | None = None,
        after: str | None = None,
        fold: bool = False,
    ) -> Page:
        """The newest messages that match ``wanted``, or the page next to another.

        ``before`` is another page's ``older``, ``after`` its ``newer``. With ``fold``,
        each batch is one row in place of its messages: of ``wanted``, only ``since``
        and ``until`` apply to batches. The work is bounded, however large the outbox
        is: see `Page`. Raises `AddressError` for the beginning of an address, if the
        outbox is encrypted.
        """
        if not wanted.possible:
            return Page((), None, None, None)
        find = folding.search_folded if fold else search.search
        return self._read(find, wanted, self.clock(), limit, before, after)

    def count(self, wanted: Search) -> Count:
        """How many messages match ``wanted``: at least so many, where counting on would
        be slow.
        """
        if not wanted.possible:
            return Count(0)
        return self._read(search.count, wanted, self.clock())

    @property
    def encrypted(self) -> bool:
        """Whether addresses are encrypted, so that only whole ones are found."""
        return self.database.keys is not None

    def counts(self) -> Mapping[Tab, Count]:
        """How many messages are in each tab, counted up to `COUNT_LIMIT`."""
        return self._read(read.counts, self.clock())

    def overview(self) -> Overview:
        """Counts, lanes and couriers, cheap enough to read often."""
        return self._read(read.overview, self.clock(), self.alert_rules)

    def paused_lanes(self) -> Sequence[LaneRecord]:
        """The paused lanes, and the reasons; their messages are not counted."""
        return self._read(read.lane_records, {}, {})

    def change_marker(self, message_id: str | None = None) -> int:
        """A number that changes with each new event of the message, or of any."""
        return self._read(read.change_marker, message_id)

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
        return self._read(
            stats.read, since.timestamp(), until.timestamp(), buckets, lane
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
            encryption = rekey.status(connection, keys, count_rows_left)
            return replace(found, encryption=encryption)

    def measure(self, lanes: Collection[str] = ()) -> Measurements:
        """What monitoring is told, with the attempts on each of ``lanes``.

        As fast with millions of messages as with none, while a courier keeps the
        counts of a large backlog young.
        """
        return self._read(
            measuring.measure, self.clock(), self.backlog(), lanes, self.alert_rules
        )

    def backlog(self, old_seconds: float = backlog.OLD_SECONDS) -> Backlog:
        """What waits: as it is, or if that is much, as it was less than
        ``old_seconds`` ago.

        Counts it if nobody has done so since.
        """
        found, is_new = self._read(backlog.look, self.clock(), old_seconds)
        if is_new:
            with suppress(StoreError):  # such as a full disk, which is to be monitored
                self.keep_backlog(found)
        return found

    def backlog_to_keep(self, old_seconds: float) -> Backlog | None:
        """What waits, if it is much and was not counted less than ``old_seconds`` ago:
        counted, for `keep_backlog`.
        """
        found, is_new = self._read(backlog.look, self.clock(), old_seconds)
        return found if is_new else None

    def keep_backlog(self, found: Backlog) -> None:
        """Keep the counts for all processes."""
        self._write(backlog.keep, found)

    def suppressed_by(self, address: str, tag: str) -> Suppression | None:
        """The suppression that bars mail with ``tag`` to ``address``, if any."""
        return self._read(suppressions.keeping_from, address, tag, self.guard.erased)

    def moves(self) -> Sequence[TransferChunk]:
        """The chunks that are half moved from here to other outboxes."""
        return self._read(read.moves)

    # Pruning

    def prunable(self, bodies_seconds: float, rows_seconds: float) -> Pruned:
        """How much `prune` would delete now."""
        now = self.clock()
        return self._read(prune.prunable, now - bodies_seconds, now - rows_seconds)

    def prune(
        self,
        bodies_seconds: float,
        rows_seconds: float,
        audit_seconds: float | None = None,
        line: audit.Draft = audit.NOBODYS,
    ) -> Pruned:
        """Do all `prune_steps`; return what was deleted in all."""
        steps = self.prune_steps(bodies_seconds, rows_seconds, audit_seconds, line)
        return sum(steps, Pruned())

    def prune_steps(
        self,
        bodies_seconds: float,
        rows_seconds: float,
        audit_seconds: float | None = None,
        line: audit.Draft = audit.NOBODYS,
    ) -> Iterator[Pruned]:
        """Delete what was finished too long ago, in a small transaction each.

        Content goes after ``bodies_seconds``, the whole message after ``rows_seconds``,
        and lines of the audit trail after ``audit_seconds``. ``line`` of the audit
        trail counts the messages (`AuditTrail.note`).
        """
        return prune.steps(
            self.database,
            self.clock(),
            bodies_seconds,
            rows_seconds,
            audit_seconds,
            line,
        )
