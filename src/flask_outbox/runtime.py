"""The runtime: one app's outbox, courier and sending, built from its settings."""

from __future__ import annotations

import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from email.message import Message as StandardMessage
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .alerts import AlertNews, AlertRules
from .bounce_address import BounceAddress
from .concurrency import Thread, call_at_forks, start_apart
from .config import Settings, TransportSettings, listed
from .courier import Courier, CourierContext, build_context
from .courier.burst import Burst
from .courier.notifier import (
    BatchingNotifier,
    WakeupNotifier,
    committed_already,
)
from .courier.provider_list import ProviderList, SyncStep, sync, without_list
from .courier.rendering import rendered
from .courier.send_now import deliver_now, refusals
from .delivery import Report
from .dkim import Signer
from .engines.thread import CourierThread
from .erased_address import ErasedAddresses
from .errors import (
    ConfigError,
    DeliveryError,
    MessageError,
    MessageStopped,
    StoreError,
)
from .events import EventKind
from .feedback import Feedback
from .feedback.rules import FeedbackRules
from .health import (
    CHECK_SECONDS,
    CourierHealth,
    CourierWatch,
    Readiness,
    ReadyCheck,
)
from .log_context import about, name_of
from .message import Address, AddressLike, Message, Templates, comparable
from .message.plain_json import WriteJson
from .mime import compose
from .outbox import (
    BatchStore,
    Database,
    Outbox,
    PersonStore,
    WebhookStore,
    can_notify,
    event_row,
    notify_of_mail,
)
from .outbox.records import (
    Act,
    Actor,
    BatchReceipt,
    FeedbackTaken,
    NewMessage,
    PersonErased,
    Receipt,
    masked,
    suppressed_announcement,
)
from .outbox.session import AppTransaction, CommitIsOver
from .recipient_guard import Guard
from .sending import Interceptors, Link, no_link
from .sending.alert_mail import alert_mail
from .sending.announce import (
    announce_dispatch,
    announce_handover,
    announce_sent_now,
)
from .sending.batch import BatchHandOver, Composable, Plan, StoredRow
from .sending.options import SendOptions, check_options
from .sending.prepare import Pipeline, StopAll, stop_nothing
from .signals import emit, message_cancelled
from .status import WebhookStatus, webhook_statuses
from .transports.intakes import EventIntakes
from .transports.registry import check_message
from .transports.resolver import FindTransport, Resolvers

if TYPE_CHECKING:
    from .traces import Traces

DRAIN_POLL_SECONDS = (0.005, 0.1)
"""The first and the longest wait between two checks whether all is delivered; the
wait doubles each time.
"""

_end_at_exit: weakref.WeakValueDictionary[int, Runtime] = weakref.WeakValueDictionary()
"""Those that deliver what is due when this process ends, by their identity."""

_log = logging.getLogger("flask_outbox")

P = ParamSpec("P")
T = TypeVar("T")


def _about_its_app(
    method: Callable[Concatenate[Runtime, P], T],
) -> Callable[Concatenate[Runtime, P], T]:
    """Have what the method logs name the runtime's app."""

    @wraps(method)
    def call(self: Runtime, /, *args: P.args, **options: P.kwargs) -> T:
        with about(self.sender):
            return method(self, *args, **options)

    return call


class Runtime:
    """The outbox, the transports and the courier of one app.

    Nothing is opened or started before it is needed, and all of it ends when the
    runtime is no longer referenced.

    ``sender`` is the sender of the signals, or a weak reference to it; ``templates``
    are those of the app's mail. With ``idle`` no courier starts by itself, as under
    TESTING. ``interceptors`` are called with each message; ``find_transport`` finds the
    transports that the settings do not name; ``link`` makes unsubscribe
    links; ``stop_all`` returns why no message may leave at present. ``make_notifier``
    makes what notifies couriers in other processes of new messages; by default that is
    the database, if it can notify and such couriers may exist. ``write_json`` writes
    metadata that JSON does not know. Reports about mail come back to ``bounces``, if
    that is given. ``erased`` recognises addresses of erased people.
    """

    def __init__(
        self,
        settings: Settings,
        sender: object,
        templates: Templates,
        *,
        idle: bool,
        interceptors: Interceptors | None = None,
        find_transport: FindTransport | None = None,
        link: Link = no_link,
        stop_all: StopAll = stop_nothing,
        make_notifier: Callable[[Runtime], WakeupNotifier | None] | None = None,
        write_json: WriteJson = json.dumps,
        bounces: BounceAddress | None = None,
        erased: ErasedAddresses | None = None,
    ) -> None:
        self.settings = settings
        self.traces: Traces | None = _traces() if settings.traces else None
        """Makes the spans of the app's mail; None if it does not want that."""
        self.outbox: Outbox = Outbox(
            Database(
                settings.url,
                settings.durability,
                settings.listen_url,
                settings.encryption_keys,
            ),
            guard=Guard.read(settings.only_to, settings.redirect_to, erased),
            retry_window=settings.give_up_after,
            feedback_rules=_feedback_rules(settings),
            bounces=bounces,
            alert_rules=_alert_rules(settings, find_transport),
            traced=settings.traces,
        )
        self._signer = Signer(settings.dkim_keys) if settings.dkim_keys else None
        self._find_transport = find_transport or Resolvers()
        self.context: CourierContext = build_context(
            settings,
            self.outbox,
            self._signer,
            templates,
            sender,
            self._find_transport,
            partial(_mail_alert, weakref.ref(self)),
            self.traces,
        )
        self._templates = templates
        self.sender = sender
        """The sender of all signals, or a weak reference to it."""
        self._interceptors = interceptors or Interceptors()
        self.link = link
        """Makes the link by which an address unsubscribes from a list."""
        self._pipeline = Pipeline(
            settings,
            self._interceptors,
            self._find_transport,
            link,
            stop_all,
            write_json,
            bounces,
            self.outbox.clock,
        )
        self._stop_all = stop_all
        self._write_json = write_json
        self.batches: BatchStore = BatchStore(self.outbox)
        self.webhooks: WebhookStore = WebhookStore(self.outbox)
        self._works_here = settings.engine == "thread" and not idle
        self._works_elsewhere = settings.engine != "thread" and not idle
        self._finalizer: weakref.finalize[..., Runtime] | None = None
        self._ends_at_exit = False
        self._has_ended = False
        """Whether the courier was stopped because the process is ending."""
        self._has_warned = False
        self._notifier = (
            None if idle else (make_notifier or Runtime._database_notifier)(self)
        )
        self._start_afresh()
        call_at_forks(self)

    def _start_afresh(self) -> None:
        """Have no courier yet, as a new process has none."""
        self._starting = threading.Lock()
        self._thread: CourierThread | None = None
        self._ending: list[CourierThread] = []
        """Couriers that were told to stop, and may still be at work."""
        self._draining = 0
        """How many calls of `drain` wait."""
        self._lent = False
        """Whether the courier runs for these alone."""
        self._burst = Burst()
        self._watch = CourierWatch()
        self._ready_check = ReadyCheck(self.outbox)
        self.event_intakes: EventIntakes = EventIntakes(
            self.settings.transports, self._find_transport, self.context.resolve
        )
        """What takes the events of the transports' providers."""
        self._close_when_collected(None)

    # Sending

    @_about_its_app
    def send(
        self,
        message: Message | StandardMessage,
        options: SendOptions,
        origin: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> Receipt:
        """Store ``message`` durably and return; a courier delivers it.

        With ``session``, store it as part of that transaction. Raises
        `OutboxUnavailable` if it was not stored.
        """
        with self.traces.hand_over() if self.traces else nullcontext() as span:
            began = time.perf_counter()
            trace = span.context if span else None
            message, new = self._pipeline.prepare(message, options, origin, trace)
            if session is None:
                receipt = self._enqueue(new)
            else:
                receipt = self._enqueue_in(session, new)
            seconds = time.perf_counter() - began
            announce_handover(self.sender, message, new, receipt, seconds)
            if span:
                span.note_message(new.lane, receipt.id)
        return receipt

    @_about_its_app
    def send_many(
        self,
        rows: Iterable[Any],
        message_of: Callable[[Any], Composable],
        recipients_of: Callable[[Any], Iterable[str]],
        options: SendOptions,
        plan: Plan,
        origin: Mapping[str, Any] | None = None,
    ) -> BatchReceipt:
        """Store a message for each row; couriers begin with the first at once.

        ``message_of`` makes a row a message, ``recipients_of`` names the recipients of
        a row. Raises what `BatchHandOver` raises.
        """
        check_options(options, self.outbox.clock(), self._write_json)

        def compose(row: Any) -> tuple[Composable, NewMessage]:
            return self._pipeline.prepare(message_of(row), options, origin)

        hand_over = BatchHandOver(
            self.batches, compose, recipients_of, self._announce_rows, self.traces
        )
        return hand_over.run(rows, plan)

    @_about_its_app
    def send_now(
        self,
        message: Message | StandardMessage,
        transport: str | None = None,
        *,
        sensitive: bool = False,
    ) -> Report:
        """Deliver ``message`` in this thread, outside the outbox.

        Raises `MessageStopped` if an interceptor stops it, and `DeliveryError` unless
        every recipient was accepted.
        """
        options = SendOptions(transport=transport, sensitive=sensitive)
        passed = self._interceptors(message, options)
        if stop := passed.stop or self._stop_all():
            raise MessageStopped(f"{stop.by} stopped it: {stop.reason}")
        message = passed.message
        name = self._pipeline.route(message, transport, None)
        composed = compose(
            rendered(message, self._templates),
            default_sender=self.settings.default_sender,
            ascii_attachments=self.settings.ascii_attachments,
        )
        recipients = composed.envelope.recipients
        barred = self.outbox.barred(recipients, None)
        leaves_by = self._transport(name)
        check_message(leaves_by, composed.envelope, composed.content)
        report = deliver_now(
            composed, leaves_by, self._signer, barred, self.outbox.guard
        )
        if len(barred) < len(recipients):
            announce_dispatch(self.sender, message, sensitive=sensitive)
        announce_sent_now(self.sender, composed.content, report, sensitive=sensitive)
        if not report.accepted:
            raise DeliveryError(refusals(report), report)
        return report

    def provider_lists(self, transport: str | None = None) -> list[ProviderList]:
        """The suppression lists of the providers by which the app sends, or of that of
        one ``transport``.

        Raises `ConfigError` if that one has none.
        """
        if transport is not None:
            found = ProviderList.of(transport, self._transport(transport))
            if found is None:
                raise without_list(transport)
            return [found]
        every = self.settings.transports.items()
        lists = (ProviderList.of(name, one) for name, one in every)
        return [one for one in lists if one is not None]

    def sync_suppressions(
        self,
        source: ProviderList,
        *,
        dry_run: bool = False,
        actor: Actor | None = None,
    ) -> Iterator[SyncStep]:
        """Suppress what a provider lists, and announce each address; in steps.

        Raises `TransportDown` and `StoreError`; the steps before it stay.
        """
        with source:
            for step in sync(source, self.outbox, dry_run=dry_run, actor=actor):
                for one in () if dry_run else step.added:
                    signal, payload = suppressed_announcement(one)
                    emit(signal, self.sender, **payload)
                yield step

    def unsuppress_at_providers(self, address: AddressLike) -> list[str]:
        """Take ``address`` off the suppression lists of all providers; the transports
        whose provider had it.

        Raises `ConfigError` if no provider has such a list, and `TransportDown`, which
        names the transport, if one does not remove it.
        """
        spec = Address.parse(address, "address").spec
        lists = self.provider_lists()
        if not lists:
            raise ConfigError(
                f"{spec} was not unsuppressed: no transport has a provider whose "
                "suppression list can be changed from here. Do so on the provider's "
                "own pages."
            )
        had = []
        for source in lists:
            with source:
                written = dict.fromkeys((spec, comparable(spec)))
                found = [source.remove(one) for one in written]
                if any(found):
                    had.append(source.name)
        return had

    def export_person(
        self, address: AddressLike, actor: Actor | None = None
    ) -> Iterator[dict[str, Any]]:
        """All that the outbox keeps about a person; see `PersonStore.export`."""
        self._note_person(actor, Act.EXPORT_PERSON, address)
        return PersonStore(self.outbox).export(address)

    def erase_person(
        self,
        address: AddressLike,
        *,
        suppress_by: str | None = None,
        on_progress: Callable[[PersonErased], object] = lambda step: None,
        actor: Actor | None = None,
    ) -> PersonErased:
        """Erase a person, and announce what was cancelled; see `PersonStore.erase`."""
        self._note_person(actor, Act.ERASE_PERSON, address)

        def announce(step: PersonErased) -> None:
            for one in step.cancelled:
                emit(message_cancelled, self.sender, message_id=one)
            on_progress(step)

        return PersonStore(self.outbox).erase(
            address, suppress_by=suppress_by, on_progress=announce
        )

    def _note_person(self, actor: Actor | None, act: Act, address: AddressLike) -> None:
        spec = Address.parse(address, "address").spec
        self.outbox.trail.note(actor, act, masked(spec))

    @property
    def resolves_transports(self) -> bool:
        """Whether the app finds transports by name that its settings do not name."""
        return not self._find_transport.none

    def check_transport(self, name: str) -> None:
        """Raise `ConfigError` for a name that no transport of the app can have."""
        self.settings.check_transport(name, resolves=self.resolves_transports)

    def _transport(self, name: str) -> TransportSettings:
        known = self.settings.transports.get(name)
        if known is not None:
            return known
        try:
            return self.context.resolve(name)
        except ConfigError as error:
            raise MessageError("transport", f"{error}.") from error

    def check_webhook_endpoint(self, name: str) -> None:
        """Raise `ConfigError` unless the app has a webhook endpoint with this
        name.
        """
        if name not in self.settings.webhooks:
            named = listed(self.settings.webhooks) or "none"
            raise ConfigError(
                f"OUTBOX_WEBHOOKS has no endpoint {name!r}: it has {named}."
            )

    def webhook_statuses(self) -> list[WebhookStatus]:
        """The webhook endpoints in the app's settings, in their order."""
        return webhook_statuses(
            self.settings, self.webhooks.endpoints([*self.settings.webhooks])
        )

    def look(self, ids: Sequence[str]) -> None:
        """Have couriers look for these due messages."""
        self._wake()
        self._notify_couriers(ids)

    def note(self, message_id: str, kind: EventKind, **detail: Any) -> None:
        """Add an event to a message's history: soon if a courier runs here,
        else now.
        """
        row = event_row(message_id, self.outbox.clock(), kind, **detail)
        courier = self._courier()
        if courier is None:
            self.outbox.record([], notes=[row])
        else:
            courier.note(row)

    def take_feedback(self, reports: Sequence[Feedback]) -> FeedbackTaken:
        """Store what others report of the app's mail, and send the signals for it.

        See `Outbox.take_feedback`. Raises `OutboxUnavailable` with nothing stored.
        """
        taken = self.outbox.take_feedback(reports)
        self.announce(taken)
        return taken

    def announce(self, taken: FeedbackTaken) -> None:
        """Send the signals for reports that were taken."""
        for signal, said in taken.announcements():
            emit(signal, self.sender, **said)

    @_about_its_app
    def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until nothing is due or being delivered; False if time ran out.

        If no courier runs by itself, one runs for as long as this takes.
        """
        with self._starting:
            self._draining += 1
        try:
            return self._wait_until_drained(timeout_seconds)
        finally:
            with self._starting:
                self._draining -= 1
                is_over = self._lent and not self._draining
                lent = self._take_thread() if is_over else []
            self._stop_threads(lent)

    def mail_alert(self, news: AlertNews) -> None:
        """Enqueue the mail about an alert, unless that was done before.

        Starts no courier: a courier's thread calls it. Raises `OutboxUnavailable` if it
        was not stored, and what `send` raises.
        """
        app, outbox = name_of(self.sender), self.outbox.database.shown
        began = time.perf_counter()
        mail, options = alert_mail(news, self.settings, app, outbox)
        message, new = self._pipeline.prepare(mail, options, None)
        receipt = self.outbox.enqueue([new])[0]
        seconds = time.perf_counter() - began
        announce_handover(self.sender, message, new, receipt, seconds)
        self.look([receipt.id])

    # The courier

    @property
    def worker_context(self) -> CourierContext:
        """The context of couriers in worker processes."""
        return self.context.for_workers(self.settings)

    @property
    def at_work(self) -> bool:
        """Whether a courier runs in this process."""
        return self._thread is not None and self._thread.alive

    def start(self) -> None:
        """Start this process's courier unless it is running."""
        with self._starting:
            self._lent = False
            self._see_that_it_runs()

    def start_if_wanted(self) -> None:
        """Start the courier if the settings ask for one in each sending process."""
        if self._works_here and (self._lent or not self.at_work):
            try:
                self.start()
            except RuntimeError as error:
                self._warn_that_nothing_delivers(str(error))
        elif self._has_ended:
            self._warn_that_nothing_delivers("the main thread has ended")

    def deliver(self, ids: Sequence[str], timeout_seconds: float) -> None:
        """Have this process's courier deliver those of these messages that can leave
        now.

        Returns once their ends are recorded, or after ``timeout_seconds``.
        """
        deadline = time.monotonic() + timeout_seconds
        self.start()
        thread = self._thread
        if thread is not None and thread.wait_until_ready(timeout_seconds):
            thread.courier.deliver(ids, deadline - time.monotonic())

    def sweep(self) -> None:
        """Start this process's courier unless it is running, and have it look for
        messages.
        """
        self.start()
        self._wake()

    def stop(self, *, drain: bool = False) -> None:
        """Stop this process's courier: finish attempts that have begun, return other
        messages.

        With ``drain``, first deliver what is due, within the grace time. Also waits for
        couriers that another thread has told to stop.
        """
        with self._starting:
            self._take_thread()
            ending = [*self._ending]
        self._stop_threads(ending, drain=drain)
        if self._notifier is not None:
            self._notifier.stop()

    def close(self) -> None:
        """Stop the courier and close all connections."""
        self.stop()
        self.outbox.database.close()

    # Health

    def courier_health(self) -> CourierHealth:
        """Whether this process's courier works, if it should have one; does not
        wait.
        """
        thread = self._thread
        if thread is not None:
            return self._watch.look(thread)
        return CourierHealth.ENDED if self._works_here else CourierHealth.NONE

    def readiness(self, limit_seconds: float = CHECK_SECONDS) -> Readiness:
        """Whether the outbox stores mail; probes at the same time share one check."""
        return self._ready_check.readiness(limit_seconds)

    # Forks

    def before_fork(self) -> None:
        """Before a fork: close all connections."""
        self.outbox.database.before_fork()

    def after_fork_in_parent(self) -> None:
        """After a fork, in the parent: allow connections again."""
        self.outbox.database.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """After a fork, in the child: start afresh, without touching anything of the
        parent's.
        """
        self.outbox.database.after_fork_in_child()
        if self._notifier is not None:
            self._notifier.after_fork_in_child()
        self._start_afresh()

    # Internals

    def _enqueue(self, new: NewMessage) -> Receipt:
        """Enqueue a message; this process's courier delivers it at once if it has a
        place, unless the message is one of a burst.
        """
        if new.stop:
            return self.outbox.enqueue([new])[0]
        self.start_if_wanted()
        courier = self._courier()
        is_due = new.due_at <= new.enqueued_at
        with self._burst as in_burst:
            if courier is not None and is_due and not in_burst:
                with courier.place_for(new) as place:
                    receipt = self.outbox.enqueue([new], place.owner)[0]
                    place.receipt = receipt
                if place.owner is not None:
                    return receipt
            else:
                receipt = self.outbox.enqueue([new])[0]
        self.start_if_wanted()  # the courier may have been stopped meanwhile
        courier = self._courier()
        if courier is not None and not in_burst:
            courier.wake()
        elif courier is not None and (is_over := self._burst.begin_wait(courier.id)):
            courier.wake_when(is_over)
        if is_due and not receipt.duplicate:
            self._notify_couriers([new.id])
        return receipt

    def _enqueue_in(self, session: Any, new: NewMessage) -> Receipt:
        """Enqueue in the app's transaction; couriers look for the message when it
        commits.
        """
        self.start_if_wanted()
        transaction = AppTransaction(self.outbox.database, session, self.outbox.guard)
        receipt = transaction.enqueue(new)
        if not receipt.duplicate and not receipt.stopped:
            transaction.on_commit(lambda is_over: self._committing(new, is_over))
        return receipt

    def _announce_rows(self, rows: Sequence[StoredRow], seconds: float) -> None:
        """Announce what one commit has stored, and have couriers look for it."""
        for one in rows:
            each = seconds / len(rows)
            announce_handover(self.sender, one.message, one.new, one.receipt, each)
        self.start_if_wanted()
        now = self.outbox.clock()
        self.look([one.new.id for one in rows if one.new.due_at <= now])

    def _wake(self) -> None:
        courier = self._courier()
        if courier is not None:
            courier.wake()

    def _committing(self, new: NewMessage, is_over: CommitIsOver) -> None:
        self.start_if_wanted()  # the courier may have been stopped meanwhile
        courier = self._courier()
        if courier is not None:
            courier.wake_when(is_over)
        if new.due_at <= new.enqueued_at:
            self._notify_couriers([new.id], is_over)

    def _notify_couriers(
        self, ids: Sequence[str], is_over: CommitIsOver = committed_already
    ) -> None:
        """Notify couriers in other processes of committed messages."""
        if self._notifier is not None:
            with suppress(RuntimeError):  # too late, but the message is committed
                self._end_at_exit()
            self._notifier.committed(ids, is_over)

    def _see_that_it_runs(self) -> None:
        """Start the courier unless it is running; hold ``_starting``.

        Raises `RuntimeError` where the process is ending.
        """
        if not self.at_work:
            self._end_at_exit()
            thread = CourierThread(self.context)
            thread.start()
            self._thread = thread
            self._close_when_collected(thread)

    def _take_thread(self) -> list[CourierThread]:
        """Let go of the courier, which is to stop; hold ``_starting``."""
        taken = [] if self._thread is None else [self._thread]
        self._thread, self._lent = None, False
        self._ending += taken
        return taken

    def _stop_threads(
        self, threads: Sequence[CourierThread], *, drain: bool = False
    ) -> None:
        for one in threads:
            one.stop(drain=drain)
        with self._starting:
            self._ending = [one for one in self._ending if one not in threads]

    def _lend_courier(self) -> bool:
        """Have a courier run for `drain` if none does; False if it is too late."""
        with self._starting:
            if not (self.at_work or self._works_elsewhere):
                try:
                    self._see_that_it_runs()
                except RuntimeError:
                    return False
                self._lent = True
        return True

    def _courier(self) -> Courier | None:
        return self._thread.courier if self._thread is not None else None

    def _wait_until_drained(self, timeout_seconds: float | None) -> bool:
        deadline = (
            None if timeout_seconds is None else time.monotonic() + timeout_seconds
        )
        wait_seconds, longest_seconds = DRAIN_POLL_SECONDS
        if not self._lend_courier():
            return False
        while self.outbox.anything_due():
            if not self._lend_courier():  # it may have been stopped meanwhile
                return False
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, longest_seconds)
        return True

    def _database_notifier(self) -> WakeupNotifier | None:
        database = self.outbox.database
        if self.settings.engine != "external" or not can_notify(database):
            return None
        return BatchingNotifier(lambda _ids: notify_of_mail(database), self.sender)

    def _end_at_exit(self) -> None:
        """Have `_end` called at exit, while threads may still work.

        ``atexit`` would be too late: the standard executors have shut down by then, and
        asyncio can no longer look up a host. There is no public hook that comes before
        that.
        """
        if not self._ends_at_exit:
            end = weakref.WeakMethod(self._end)
            threading._register_atexit(_call_if_alive, end)  # type: ignore[attr-defined]
            self._ends_at_exit = True
            _end_at_exit[id(self)] = self

    def _close_when_collected(self, thread: CourierThread | None) -> None:
        """Stop ``thread`` and close the connections when this runtime ends."""
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(
            self, _close_parts, thread, self._notifier, self.outbox.database
        )
        self._finalizer.atexit = False

    def _end(self) -> None:
        """Deliver what is due within the grace time; later messages are only stored.

        All apps of the process do so at the same time. Ctrl-C ends that: what was begun
        is finished, and by another Ctrl-C it is not. Under gevent another greenlet's
        ``sys.exit()`` may arrive meanwhile; by then the shutdown has begun.
        """
        with suppress(SystemExit, KeyboardInterrupt):
            try:
                for alive in _end_at_exit.valuerefs():
                    if (one := alive()) is not None:
                        one._begin_end()
                self.stop(drain=True)
            except KeyboardInterrupt:
                self.stop()

    def _begin_end(self) -> None:
        self._has_ended = self._has_ended or self._works_here
        self._works_here = False
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.begin_stop(drain=True)

    @_about_its_app
    def _warn_that_nothing_delivers(self, reason: str) -> None:
        """Log once that nothing delivers the messages of this process."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "Mail is kept in the outbox at %s, but no courier of this process "
                "delivers it (%s): it leaves when the app next runs. Threads that send "
                "have to end before the main thread does.",
                self.outbox.database.shown,
                reason,
            )


def _traces() -> Traces:
    from .traces import Traces

    return Traces()


def _feedback_rules(settings: Settings) -> FeedbackRules:
    tags = settings.track_tags
    return FeedbackRules(
        suppress_for=frozenset(settings.auto_suppress),
        soft_bounce_count=settings.soft_bounce_count,
        soft_bounce_days=settings.soft_bounce_days,
        track_tags=tags if isinstance(tags, bool) else frozenset(tags),
    )


def _alert_rules(settings: Settings, find: FindTransport | None) -> AlertRules:
    """The lanes of transports that the app finds by name are not watched: their servers
    may be its customers'.
    """
    watches_all = find is None or find.none
    return AlertRules(
        settings.alert_limits, None if watches_all else frozenset(settings.transports)
    )


def _mail_alert(runtime: weakref.ref[Runtime], news: AlertNews) -> None:
    """Enqueue the mail about an alert. Couriers do not keep the runtime alive."""
    alive = runtime()
    if alive is None:
        raise StoreError("The app whose alert this is has ended.")
    alive.mail_alert(news)


def _call_if_alive(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    function = method()
    if function is not None:
        function()


def _close_parts(
    thread: CourierThread | None, notifier: WakeupNotifier | None, database: Database
) -> None:
    """Stop what belonged to a runtime that is no longer referenced.

    This runs in a thread of its own, for which the process waits before it ends. The
    garbage collector may call this in the middle of a transaction of the same database,
    which closing it would wait for.
    """

    def end() -> None:
        if thread is not None:
            thread.stop(drain=True)
        if notifier is not None:
            notifier.stop()
        database.close()

    if thread is not None or notifier is not None or database.opened:
        with suppress(RuntimeError):  # what is stored is delivered by the next process
            start_apart(Thread(target=end, name="outbox-end"))
