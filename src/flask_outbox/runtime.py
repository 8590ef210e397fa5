"""Runtime: everything one app's mail needs, put together from its settings."""

from __future__ import annotations

import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.message import Message as StandardMessage
from typing import Any

from blinker import NamedSignal

from . import events
from .config import Settings
from .courier import Courier, CourierThread, Crew, for_workers, hire
from .delivery import Report, State
from .direct import deliver_now, refusals
from .dkim import Signer
from .errors import DeliveryError, MessageStopped
from .forking import tell_of_forks
from .guard import Guard
from .handover import Wishes, leased
from .many import Batches
from .message import Message, Templates
from .mime import compose
from .outbox.database import Database
from .outbox.doorbell import has_doorbell, ring_for_mail
from .outbox.enqueue import event_row
from .outbox.joining import Joined
from .outbox.records import NewMessage, Receipt
from .outbox.store import Outbox
from .plain_json import WriteJson
from .readying import (
    HeldBack,
    Interceptors,
    Link,
    Readying,
    no_link,
    nothing_held_back,
)
from .relay import BatchingRelay, Over, Relay, is_over
from .rendering import rendered
from .routing import route
from .telling import goes_out, tell_of_handover, tell_of_receipt

DRAIN_POLL_SECONDS = 0.02
"""How often `drain` looks: other processes deliver too, and nobody tells it."""

_log = logging.getLogger("flask_outbox")


class Runtime:
    """The outbox, the lanes and the courier of one app.

    Nothing is opened or started before it is needed, and what was ends when nobody has
    the runtime any more. ``sender`` is whose signals the signals are, or a weak
    reference to it, ``templates`` those of its mail. With ``idle`` no courier starts by
    itself, as under TESTING. The ``interceptors`` are asked about each message that is
    handed over; ``link`` makes those by which people unsubscribe; ``held_back`` says
    why nothing may leave that is handed over at present. ``make_relay`` makes
    what tells couriers in other processes of new messages; by default that is the
    database, where it can and there are such couriers. ``write`` writes metadata that
    is no JSON by itself.
    """

    def __init__(
        self,
        settings: Settings,
        sender: object,
        templates: Templates,
        *,
        idle: bool,
        interceptors: Interceptors | None = None,
        link: Link = no_link,
        held_back: HeldBack = nothing_held_back,
        make_relay: Callable[[Runtime], Relay | None] | None = None,
        write: WriteJson = json.dumps,
    ) -> None:
        self.settings = settings
        self.outbox = Outbox(
            Database(settings.url, settings.durability, settings.listen_url),
            guard=Guard.read(settings.only_to, settings.redirect_to),
        )
        self._signer = Signer(settings.dkim_keys) if settings.dkim_keys else None
        self.crew = hire(settings, self.outbox, self._signer, templates, sender)
        self._templates = templates
        self._sender = sender
        self._interceptors = interceptors or Interceptors()
        self.link = link
        """Makes the link by which an address leaves a list."""
        self._ready = Readying(
            self.outbox, settings, self._interceptors, link, held_back, write
        )
        self._held_back = held_back
        self.batches = Batches(
            self.outbox,
            settings.give_up_after,
            sender,
            make_ready=self._ready,
            start=self.start_if_wanted,
            look=self._look,
            write=write,
        )
        self._works_here = settings.engine == "thread" and not idle
        self._works_elsewhere = settings.engine != "thread" and not idle
        self._starting = threading.Lock()
        self._thread: CourierThread | None = None
        self._letting_go: weakref.finalize[..., Runtime] | None = None
        self._ends_at_exit = False
        self._has_ended = False
        """Whether the courier has ended with the process."""
        self._has_said_so = False
        self._relay = None if idle else (make_relay or Runtime._make_bell)(self)
        self._let_go_in_the_end(None)
        tell_of_forks(self)

    # Sending

    def send(
        self,
        message: Message | StandardMessage,
        wishes: Wishes,
        origin: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> Receipt:
        """Keep ``message`` durably and return; its courier has it already.

        With ``session``, keep it as part of that transaction.
        """
        began = time.perf_counter()
        dispatched, new = self._ready(message, wishes, origin)
        receipt = self._keep(new) if session is None else self._join(new, session)
        if goes_out(new, receipt):
            self.tell(events.email_dispatched, message=dispatched)
        tell_of_handover(self._sender, new, receipt, time.perf_counter() - began)
        return receipt

    def send_now(
        self, message: Message | StandardMessage, transport: str | None = None
    ) -> Report:
        """Deliver ``message`` in this thread, outside the outbox."""
        passed = self._interceptors(message, Wishes(transport=transport))
        if stop := passed.stop or self._held_back():
            raise MessageStopped(f"{stop.by} stopped it: {stop.reason}")
        message = passed.message
        name = route(message, transport, None, self.settings)
        composed = compose(
            rendered(message, self._templates),
            default_sender=self.settings.default_sender,
            ascii_attachments=self.settings.ascii_attachments,
        )
        recipients = composed.envelope.recipients
        barred = self.outbox.barred(recipients, None)
        smtp = self.settings.transports[name].smtp
        report = deliver_now(composed, smtp, self._signer, barred, self.outbox.guard)
        if len(barred) < len(recipients):
            self.tell(events.email_dispatched, message=message)
        content = composed.content
        self.tell(events.message_sent_now, content=content, report=report)
        if not report.accepted:
            raise DeliveryError(refusals(report), report)
        return report

    def retry(self, message_id: str) -> None:
        """Make a message due now and have it looked at."""
        self.outbox.retry(message_id, self.settings.give_up_after)
        self.tell(events.message_retried, message_id=message_id)
        self._look([message_id])

    def cancel(self, message_id: str) -> None:
        """Take a message out before it is delivered."""
        self.outbox.cancel(message_id)
        self.tell(events.message_cancelled, message_id=message_id)

    def release(self, message_id: str) -> None:
        """Have a message sent once more that may have arrived."""
        self.outbox.release(message_id, self.settings.give_up_after)
        self.tell(events.message_retried, message_id=message_id)
        self._look([message_id])

    def drop(self, message_id: str) -> None:
        """Have done with a message that may have arrived."""
        self.outbox.drop(message_id)
        self.tell(events.message_cancelled, message_id=message_id)

    def send_again(
        self,
        message_id: str,
        origin: Mapping[str, Any] | None = None,
        *,
        by: str | None = None,
        to: Sequence[str] | None = None,
    ) -> Receipt:
        """Send what a finished message said once more, as a new one.

        With ``by`` it leaves by that transport, with ``to`` it goes to these addresses.
        """
        began = time.perf_counter()
        receipt = self.outbox.send_again(
            message_id, self.settings.give_up_after, origin, by=by, to=to
        )
        nobody = self.outbox.get(receipt.id).state is State.SUPPRESSED
        seconds = time.perf_counter() - began
        tell_of_receipt(self._sender, receipt, nobody, seconds)
        again = {"message_id": message_id, "again_as": receipt.id}
        self.tell(events.message_sent_again, **again)
        self._look([receipt.id])
        return receipt

    def note(self, message_id: str, kind: str, **detail: Any) -> None:
        """Add an event to a message's story: soon where a courier works, else now."""
        row = event_row(message_id, self.outbox.clock(), kind, **detail)
        courier = self._courier()
        if courier is None:
            self.outbox.record([], [row])
        else:
            courier.note(row)

    def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until nothing is due or being delivered; False when time ran out.

        Where no courier works by itself, one works for as long as this takes.
        """
        if self._thread is not None or self._works_elsewhere:
            return self._wait_until_drained(timeout_seconds)
        try:
            self.start()
        except RuntimeError:  # too late: the process is ending
            return False
        try:
            return self._wait_until_drained(timeout_seconds)
        finally:
            self.stop()

    def tell(self, signal: NamedSignal, **payload: Any) -> None:
        """Tell the app's listeners what happened."""
        events.emit(signal, self._sender, **payload)

    # The courier

    @property
    def worker_crew(self) -> Crew:
        """What couriers have in common in processes where nothing is handed over."""
        return for_workers(self.crew, self.settings)

    def start(self) -> None:
        """Start this process's courier, unless it works already."""
        with self._starting:
            if self._thread is None or not self._thread.alive:
                self._end_at_exit()
                self._thread = CourierThread(self.crew)
                self._thread.start()
                self._let_go_in_the_end(self._thread)

    def start_if_wanted(self) -> None:
        """Start the courier where the settings want one in each sending process."""
        if self._works_here and (self._thread is None or not self._thread.alive):
            try:
                self.start()
            except RuntimeError as error:
                self._say_that_nobody_delivers(str(error))
        elif self._has_ended:
            self._say_that_nobody_delivers("the main thread has ended")

    def deliver(self, ids: Sequence[str], timeout_seconds: float) -> None:
        """Have this process's courier deliver what can leave now of these messages.

        Returns once that is recorded, or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        self.start()
        thread = self._thread
        if thread is not None and thread.wait_until_ready(timeout_seconds):
            thread.courier.deliver(ids, deadline - time.monotonic())

    def sweep(self) -> None:
        """See that this process has a courier, and have it look at the outbox now."""
        self.start()
        self._wake()

    def stop(self, *, drain: bool = False) -> None:
        """Stop this process's courier: finish what was begun, give the rest back."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(drain=drain)
        if self._relay is not None:
            self._relay.stop()

    def close(self) -> None:
        """Stop the courier, and give all connections back."""
        self.stop()
        self.outbox.database.close()

    # Forks

    def before_fork(self) -> None:
        """Close all connections until the fork is over."""
        self.outbox.database.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self.outbox.database.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Begin anew in a child process: nothing of the parent's may be touched."""
        self.outbox.database.after_fork_in_child()
        self._starting = threading.Lock()
        self._thread = None
        if self._relay is not None:
            self._relay.after_fork_in_child()
        self._let_go_in_the_end(None)

    # Inside

    def _keep(self, new: NewMessage) -> Receipt:
        """Enqueue, under a lease of this process's courier where it has a place."""
        if new.stop:
            return self.outbox.enqueue([new])[0]
        self.start_if_wanted()
        courier = self._courier()
        due = _is_due(new)
        if courier is not None and due and courier.offer(new):
            return self._keep_leased(new, courier)
        receipt = self.outbox.enqueue([new])[0]
        self._wake()
        if due and not receipt.duplicate:
            self._announce([new.id])
        return receipt

    def _join(self, new: NewMessage, session: Any) -> Receipt:
        """Enqueue inside the app's transaction; couriers look when it commits."""
        self.start_if_wanted()
        joined = Joined(self.outbox.database, session, self.outbox.guard)
        receipt = joined.enqueue(new)
        if not receipt.duplicate and not receipt.stopped:
            joined.on_commit(lambda over: self._committing(new, over))
        return receipt

    def _keep_leased(self, new: NewMessage, courier: Courier) -> Receipt:
        try:
            receipt = self.outbox.enqueue([new], courier.id)[0]
        except BaseException:
            courier.withdraw(new.id)
            raise
        held = leased(new, courier.id, receipt.suppressed)
        if receipt.duplicate or not held.envelope.recipients:
            courier.withdraw(new.id)
        else:
            courier.take(held)
        return receipt

    def _wake(self) -> None:
        courier = self._courier()
        if courier is not None:
            courier.wake()

    def _committing(self, new: NewMessage, over: Over) -> None:
        courier = self._courier()
        if courier is not None:
            courier.wake_when(over)
        if _is_due(new):
            self._announce([new.id], over)

    def _announce(self, ids: Sequence[str], over: Over = is_over) -> None:
        """Have couriers elsewhere told of messages, once they are kept."""
        if self._relay is not None:
            with suppress(RuntimeError):  # too late: what is kept goes out even so
                self._end_at_exit()
            self._relay.committed(ids, over)

    def _courier(self) -> Courier | None:
        return self._thread.courier if self._thread is not None else None

    def _wait_until_drained(self, timeout_seconds: float | None) -> bool:
        deadline = (
            None if timeout_seconds is None else time.monotonic() + timeout_seconds
        )
        while self.outbox.anything_due():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(DRAIN_POLL_SECONDS)
        return True

    def _make_bell(self) -> Relay | None:
        database = self.outbox.database
        if self.settings.engine != "external" or not has_doorbell(database):
            return None
        return BatchingRelay(lambda _ids: ring_for_mail(database), self._sender)

    def _look(self, ids: Sequence[str]) -> None:
        """Have couriers look for these messages, which are due."""
        self._wake()
        self._announce(ids)

    def _end_at_exit(self) -> None:
        """Have `_end` called while threads may still work.

        ``atexit`` would be too late: by then asyncio can no longer look up a host,
        because the standard executors have shut down. There is no public way to come
        before them.
        """
        if not self._ends_at_exit:
            end = weakref.WeakMethod(self._end)
            threading._register_atexit(_call_if_there, end)  # type: ignore[attr-defined]
            self._ends_at_exit = True

    def _let_go_in_the_end(self, thread: CourierThread | None) -> None:
        """Have ``thread``, and the connections, end with this runtime."""
        if self._letting_go is not None:
            self._letting_go.detach()
        self._letting_go = weakref.finalize(
            self, _let_go, thread, self._relay, self.outbox.database
        )
        self._letting_go.atexit = False

    def _end(self) -> None:
        """Deliver what is due within the grace time; from then on mail is only kept.

        Under gevent another greenlet's ``sys.exit()`` may arrive meanwhile: the end has
        begun anyway.
        """
        self._has_ended = self._works_here
        self._works_here = False
        with suppress(SystemExit):
            self.stop(drain=True)

    def _say_that_nobody_delivers(self, reason: str) -> None:
        """Say once that what is handed over in this process only waits."""
        if not self._has_said_so:
            self._has_said_so = True
            _log.warning(
                "Mail is kept in the outbox at %s, but no courier of this process "
                "delivers it (%s): it leaves when the app next runs. Threads that send "
                "have to end before the main thread does.",
                self.outbox.database.shown,
                reason,
            )


def _call_if_there(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    function = method()
    if function is not None:
        function()


def _let_go(
    thread: CourierThread | None, relay: Relay | None, database: Database
) -> None:
    """End what nobody can use any more, as at the end of the process.

    Who lets go of it waits for nothing, but the process waits for this before it ends.
    """

    def end() -> None:
        if thread is not None:
            thread.stop(drain=True)
        if relay is not None:
            relay.stop()
        database.close()

    if thread is None and relay is None:
        database.close()
    else:
        with suppress(RuntimeError):  # too late: what is kept goes out next time
            threading.Thread(target=end, name="outbox-end").start()


def _is_due(new: NewMessage) -> bool:
    return new.due_at <= new.enqueued_at
