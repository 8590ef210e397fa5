"""`Mail`: the Flask extension."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.message import Message as StandardMessage
from typing import TYPE_CHECKING, Any, overload

from flask import Flask, current_app, has_app_context

from . import log
from .app_state import (
    EXTENSION,
    AppState,
    itself,
    note_request,
    note_response,
    request_origin,
    send_again,
    state_of,
)
from .cli import outbox_commands
from .config import Settings
from .delivery import Report
from .errors import AppUnknown, ConfigError, MessageError
from .log_context import about, serve
from .message import AddressLike, check_label
from .message import Message as PlainMessage
from .previews import Builder, Previews
from .sending import Interceptor, Interceptors
from .sending.batch import (
    PRIORITY,
    Plan,
    Row,
    recipients_of,
    recipients_of_row,
)
from .sending.options import SendOptions
from .templating import Message, message_of_row
from .transports.resolver import Resolver, Resolvers
from .unsubscribe import mount as mount_unsubscribe
from .unsubscribe import url_of

if TYPE_CHECKING:
    from .outbox.records import (
        Actor,
        BatchReceipt,
        BatchRecord,
        Failure,
        MessageRecord,
        OutboxStatus,
        Page,
        PersonErased,
        Receipt,
        Search,
        Suppression,
        SuppressionSync,
    )
    from .runtime import Runtime

UNNAMED = "messages"
"""The name of a batch that was given none."""


class Mail:
    """Sends an app's email in the background, from a durable outbox.

    ::

        mail = Mail(app)  # or Mail(), and mail.init_app(app) later


        @app.post("/send-email")
        def send_email():
            receipt = mail.send(Message("Hello", recipients=["ada@example.org"]))
            return {"id": receipt.id}, 202

    One `Mail` may serve several apps: inside an app's context it works for that app,
    elsewhere for the one app that it was initialised with. It keeps the app that it was
    made with alive, but not those that `init_app` was called with.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._apps: list[weakref.ref[Flask]] = []
        self._previews = Previews()
        self._interceptors = Interceptors()
        self._resolvers = Resolvers()
        if app is not None:
            self.init_app(app)
            self._made_with = itself(app)  # keeps it alive

    def init_app(self, app: Flask) -> None:
        """Check the app's settings and set up the outbox; start nothing.

        Reads every key in :doc:`/configuration`: ``MAIL_*`` says how mail is sent,
        ``OUTBOX_*`` how it is stored and delivered. Raises `ConfigError`.

        Called again with the same app, it reads the settings anew; if they have
        changed, the courier with the old ones is stopped. It may also be called after
        the app's first request.

        - ``app.extensions["outbox"]`` holds the app's runtime, created at its first use
        - each request is timed, for the history of the messages that it sends; the
          first request starts the courier, so that messages of an earlier process are
          sent
        - the commands are in ``flask outbox``
        - with ``OUTBOX_DASHBOARD`` the dashboard is mounted, with
          ``OUTBOX_UNSUBSCRIBE_PATH`` the page on which people unsubscribe, with
          ``OUTBOX_EVENTS_PATH`` the page to which providers post events, with
          ``OUTBOX_HEALTH_PATH`` the pages for probes, and with ``OUTBOX_METRICS`` the
          page of metrics
        """
        _refuse_other_frameworks(app)
        app = itself(app)
        serve(app, _current_app)
        with about(app):
            self._set_up(app)
        if app not in self._served():
            self._apps.append(weakref.ref(app))

    def _set_up(self, app: Flask) -> None:
        state = self._install(app)
        with _setting_up(app):
            if _begin_request not in app.before_request_funcs.get(None, ()):
                app.before_request(_begin_request)
            app.cli.add_command(outbox_commands)
            if state.settings.dashboard is not None:
                _mount_dashboard(app, state.settings)
            if state.settings.unsubscribe_path is not None:
                mount_unsubscribe(app, state.settings.unsubscribe_path)
            if state.settings.events_path is not None:
                _mount_events(app, state.settings.events_path)
            if state.settings.health_path is not None:
                _mount_health(app, state.settings.health_path)
            if state.settings.metrics is not None:
                _mount_metrics(app, state.settings.metrics_path)
        log.listen()
        if state.settings.log == "json":
            log.log_as_json()

    # ------------------------------------------------------------------- sending

    def send(
        self,
        message: PlainMessage | StandardMessage,
        *,
        at: datetime | None = None,
        delay: float | timedelta | None = None,
        priority: int = 0,
        key: str | None = None,
        tag: str | None = None,
        metadata: Any = None,
        transport: str | None = None,
        return_path: AddressLike | None = None,
        unsubscribe: bool = False,
        sensitive: bool = False,
        session: Any = None,
    ) -> Receipt:
        """Return once ``message`` is durably stored; a courier delivers it later.

        :param message: a `Message`, or a standard library ``EmailMessage``
        :param at: do not send it before this time, an aware datetime
        :param delay: do not send it before this many seconds, or a timedelta, from now
        :param priority: from -1000 to 1000; higher is sent first
        :param key: makes the call idempotent: a second call with the same key sends
            nothing and returns the first receipt, with ``duplicate`` true
        :param tag: a label for people, for ``MAIL_ROUTE``, and for `suppress`
        :param metadata: anything ``app.json`` can encode, stored with the message
        :param transport: the name of the transport to use, instead of the one that
            ``MAIL_ROUTE`` selects, or the default; any name that `transport_resolver`
            may find
        :param return_path: where bounces go, instead of to the sender: the address in
            MAIL FROM
        :param unsubscribe: whether its only recipient can end all mail with this
            ``tag`` by one click (RFC 8058); see :doc:`/unsubscribe`
        :param sensitive: whether nobody may see its content, such as a login code: no
            page or command shows it, and it is removed in the commit that records the
            message as sent; see :doc:`/privacy`
        :param session: an SQLAlchemy session or connection on the outbox's database:
            the message exists if and only if that transaction commits

        The interceptors registered with `before_send` are called first. A message that
        one of them stops is stored as *cancelled*, and the receipt's ``stopped`` is the
        reason.

        Raises `MessageError` for a message that could never be sent, and
        `OutboxUnavailable` if it could not be stored. In both cases nothing was
        accepted.
        """
        began = time.perf_counter()
        options = SendOptions(
            at=at,
            delay=delay,
            priority=priority,
            key=key,
            tag=tag,
            metadata=metadata,
            transport=transport,
            return_path=return_path,
            unsubscribe=unsubscribe,
            sensitive=sensitive,
        )
        runtime = self._runtime
        receipt = runtime.send(message, options, request_origin(), session)
        note_response(runtime, receipt, began)
        return receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def send_now(
        self,
        message: PlainMessage | StandardMessage,
        *,
        transport: str | None = None,
        sensitive: bool = False,
    ) -> Report:
        """Deliver ``message`` before returning, outside the outbox.

        It is sent by ``transport``, as in `send`, without failover, and does not count
        for ``MAIL_RATE``. Recipients suppressed for all mail (`suppress`) are skipped,
        and count as not accepted. Nothing is retried, and nothing stored; if it is
        ``sensitive``, signals do not carry its content.

        Returns the server's reply for each recipient. Raises `DeliveryError`, whose
        ``report`` has the same replies, unless all recipients were accepted;
        `TransportDown` if the server cannot be reached; `SigningError` if the message
        could not be signed (DKIM); `MessageStopped` if an interceptor stopped it; and
        `OutboxUnavailable` if suppressions could not be looked up.
        """
        return self._runtime.send_now(message, transport, sensitive=sensitive)

    @overload
    def send_many(
        self, messages: Iterable[PlainMessage | StandardMessage], /, **options: Any
    ) -> BatchReceipt: ...

    @overload
    def send_many(
        self, template: str, rows: Iterable[Row], /, **options: Any
    ) -> BatchReceipt: ...

    def send_many(
        self,
        what: str | Iterable[Any],
        rows: Iterable[Row] | None = None,
        /,
        *,
        name: str | None = None,
        tag: str | None = None,
        priority: int = PRIORITY,
        at: datetime | None = None,
        delay: float | timedelta | None = None,
        key: str | None = None,
        metadata: Any = None,
        transport: str | None = None,
        unsubscribe: bool = False,
        sensitive: bool = False,
        resume: str | None = None,
        **message: Any,
    ) -> BatchReceipt:
        """Return once every message is durably stored, as one batch.

        ``send_many(messages)`` takes any iterable of messages. ``send_many(template,
        rows)`` takes the name of a template, as `Message.from_template` does, and any
        iterable of rows: mappings with the address as ``to``, which are also the
        template's context, or pairs of an address and such a mapping. Couriers render
        the messages.

        The iterable may be endless: only what one commit stores is in memory, and
        stored messages are delivered while the rest is read.

        :param name: the batch's name, for people; by default the template's
        :param key: makes the call idempotent: a second call with the same key continues
            where the last one was interrupted, and sends nothing if all was stored
        :param resume: the id of the batch to continue with these rows; rows that are
            already stored are skipped
        :param message: with a template, more arguments of `Message.from_template` for
            all messages, such as ``sender``

        The other arguments are those of `send`, and apply to every message. The default
        ``priority`` is lower, so that single messages are sent first.

        Raises `BatchInterrupted`, which names the row and says how to continue, for any
        error on the way: a message that could never be sent, an error of the iterable,
        an unavailable outbox. Raises `MessageError` for an argument that is wrong for
        all messages, and for rows that differ from the batch's; `TransitionRefused` if
        the batch was cancelled, and `BatchNotFound`.
        """
        options = SendOptions(
            at=at,
            delay=delay,
            priority=priority,
            tag=tag,
            metadata=metadata,
            transport=transport,
            unsubscribe=unsubscribe,
            sensitive=sensitive,
        )
        template = what if isinstance(what, str) else None
        plan = Plan(name or template or tag or UNNAMED, tag, key, resume, sensitive)
        _check_batch(plan, what, rows, message)
        send, origin = self._runtime.send_many, request_origin()
        if template is None:
            return send(what, lambda one: one, recipients_of, options, plan, origin)
        message_of = message_of_row(template, **message)
        # Raises for wrong arguments before a batch begins.
        Message.from_template(template, render="later", **message)
        return send(rows or (), message_of, recipients_of_row, options, plan, origin)

    # ----------------------------------------------------------- messages: reading

    def get(self, id: str) -> MessageRecord:
        """A message's state, recipients, attempts and events.

        Raises `MessageNotFound`.
        """
        return self._runtime.outbox.get(id)

    def content(self, id: str, *, actor: str | None = None) -> bytes | None:
        """A message's content, as RFC 5322 bytes.

        None if it was pruned (``OUTBOX_KEEP_BODIES``), or if a courier still has to
        render it. ``actor`` names a person who is to see it: the audit trail says so
        first. Raises `SensitiveContent` if it was sent with ``sensitive=True``.
        """
        outbox = self._runtime.outbox
        content = outbox.content(id)
        if content is not None:
            outbox.trail.note_view(_actor(actor), id)
        return content

    def search(
        self,
        criteria: Search | None = None,
        *,
        limit: int = 50,
        before: str | None = None,
        after: str | None = None,
    ) -> Page:
        """The newest messages that meet all ``criteria``; by default of all messages.

        ::

            page = mail.search(Search(state=State.FAILED, tag="newsletter"))
            for message in page.messages:
                print(message.id, message.subject)

        ``limit`` is the maximum. ``before`` takes the ``older`` of another page,
        ``after`` its ``newer``. The time hardly depends on the outbox's size: see
        `Page`. Raises `AddressError` for the beginning of an address, if the outbox is
        encrypted, and `ValueError` for a ``limit`` below 1.
        """
        from .outbox.records import Search

        if limit < 1:
            raise ValueError(f"limit={limit}: a page holds at least one message")
        return self._runtime.outbox.search(
            criteria or Search(), limit, before=before, after=after
        )

    def status(self) -> OutboxStatus:
        """The outbox at this moment: its messages and its couriers.

        How many messages are in each state, what is due, which transports are paused,
        and which couriers are alive. All counts are exact, which may take time.
        """
        return self._runtime.outbox.status()

    # ---------------------------------------------------------- messages: changing
    #
    # Whatever a person may do takes ``actor``, their name for the audit trail. What the
    # app does by itself is not in that.

    def cancel(self, id: str, *, actor: str | None = None) -> MessageRecord:
        """Cancel a pending message: it is not sent.

        Raises `TransitionRefused` if it is too late, and `MessageNotFound`.
        """
        return self._act("cancel", id, actor)

    def retry(self, id: str, *, actor: str | None = None) -> MessageRecord:
        """Try a message again now, for every recipient whom it has not reached.

        Raises `TransitionRefused` if it has reached all, and `MessageNotFound`.
        """
        return self._act("retry", id, actor)

    def release(self, id: str, *, actor: str | None = None) -> MessageRecord:
        """Send an *unknown* message once more now, though it may have arrived.

        It goes only to recipients whose outcome is unknown. Raises `TransitionRefused`
        for a message that is not unknown, and `MessageNotFound`.
        """
        return self._act("release", id, actor)

    def drop(self, id: str, *, actor: str | None = None) -> MessageRecord:
        """Cancel an *unknown* message: it may have arrived, and is not sent again.

        Raises `TransitionRefused` for a message that is not unknown, and
        `MessageNotFound`.
        """
        return self._act("drop", id, actor)

    def send_again(
        self,
        id: str,
        *,
        transport: str | None = None,
        recipients: Sequence[str] | None = None,
        actor: str | None = None,
    ) -> Receipt:
        """Send the content of a finished message once more, as a new message.

        The new message has its own Message-ID and date; the histories of both refer to
        each other. It goes to the same recipients by the same transport, unless
        ``recipients`` or ``transport`` say otherwise. Raises `TransitionRefused` if the
        message is not finished or its content was pruned or removed, and
        `MessageNotFound`.
        """
        return send_again(
            self._runtime, id, by=transport, to=recipients, actor=_actor(actor)
        )

    def _act(self, name: str, id: str, actor: str | None) -> MessageRecord:
        from .actions import ACTIONS

        runtime = self._runtime
        ACTIONS[name].do(runtime, id, _actor(actor))
        return runtime.outbox.get(id)

    # ----------------------------------------------------------------- transports

    def pause(
        self, transport: str, *, reason: str = "", actor: str | None = None
    ) -> None:
        """Send nothing by ``transport``, on any machine, until `resume`.

        Messages are accepted and wait; there is no failover. Attempts that have begun
        are finished, and each courier stops claiming within ``OUTBOX_POLL_SECONDS``.
        ``reason`` is for people. Raises `ConfigError` for an unknown transport.
        """
        runtime = self._runtime
        runtime.check_transport(transport)
        runtime.outbox.pause_lane_by_operator(transport, reason, _actor(actor))

    def resume(self, transport: str, *, actor: str | None = None) -> None:
        """End a `pause`; does nothing if the transport was not paused.

        A transport whose server is down stays paused until a probe succeeds. Raises
        `ConfigError` for an unknown transport.
        """
        runtime = self._runtime
        runtime.check_transport(transport)
        runtime.outbox.resume_lane_by_operator(transport, _actor(actor))

    # -------------------------------------------------------------------- batches

    def batch(self, id: str) -> BatchRecord:
        """A batch, with its number of messages by state. Raises `BatchNotFound`."""
        return self._runtime.batches.get(id)

    def batches(self, limit: int = 50) -> list[BatchRecord]:
        """The batches, the newest first."""
        return self._runtime.batches.newest(limit)

    def batch_failures(self, id: str) -> Iterator[Failure]:
        """Every recipient who did not get a batch's message or complained, and why.

        The iterator reads them from the outbox as it goes.
        """
        return self._runtime.batches.failures(id)

    def pause_batch(self, id: str, *, actor: str | None = None) -> BatchRecord:
        """Send nothing of a batch, on any machine, until `resume_batch`.

        Attempts that have begun are finished; messages that are added to the batch wait
        as well. Raises `TransitionRefused` for a cancelled batch, and `BatchNotFound`.
        """
        return self._act_on_batch("pause", id, actor)

    def resume_batch(self, id: str, *, actor: str | None = None) -> BatchRecord:
        """Resume a paused batch.

        To continue an interrupted `send_many`, call it with ``resume``. Raises
        `TransitionRefused` for a cancelled batch, and `BatchNotFound`.
        """
        return self._act_on_batch("resume", id, actor)

    def cancel_batch(self, id: str, *, actor: str | None = None) -> BatchRecord:
        """Cancel all messages of a batch that are still pending; this is final.

        A `send_many` in progress ends with `TransitionRefused`. Raises `BatchNotFound`.
        """
        return self._act_on_batch("cancel", id, actor)

    def _act_on_batch(self, name: str, id: str, actor: str | None) -> BatchRecord:
        from .actions import BATCH_ACTIONS

        runtime = self._runtime
        BATCH_ACTIONS[name].do(runtime, id, _actor(actor))
        return runtime.batches.get(id)

    # --------------------------------------------------------------- suppressions

    def suppress(
        self,
        address: AddressLike,
        *,
        reason: str = "",
        list: str = "",
        actor: str | None = None,
    ) -> Suppression:
        """Send no more mail to ``address``, until `unsuppress`.

        With ``list``, no mail with that tag; without, none at all. This applies to new
        and pending messages, on every machine; an attempt that has begun may still
        succeed. If the address is already suppressed, the existing entry stays and is
        returned. Raises `AddressError`.
        """
        return self._runtime.outbox.suppress(
            address, reason=reason, list=list, actor=_actor(actor)
        )

    def unsuppress(
        self,
        address: AddressLike,
        *,
        list: str = "",
        at_provider: bool = False,
        actor: str | None = None,
    ) -> bool:
        """End a suppression with the same ``list``; False if there was none.

        Messages that were suppressed in the meantime are not sent, unless by `retry`.
        Earlier reports about the address do not bring the suppression back.

        If it came from a bounce, a complaint or a provider, the provider may have the
        address on a list of its own, and still send nothing to it. With ``at_provider``
        it is taken off the lists of all providers first, and True is returned if it was
        on any list. That raises `ConfigError` if no provider has a list that can be
        changed from here, and `TransportDown` if one does not remove it; then nothing
        has changed here.
        """
        runtime = self._runtime
        if not at_provider:
            return runtime.outbox.unsuppress(address, list=list, actor=_actor(actor))
        if list:
            raise MessageError(
                "list", "a provider's list is for all mail: leave out the list."
            )
        had = runtime.unsuppress_at_providers(address)
        return runtime.outbox.unsuppress(address, actor=_actor(actor)) or bool(had)

    def suppressions(
        self, list: str | None = None, *, source: str | None = None
    ) -> Iterator[Suppression]:
        """The suppressed addresses: of one list, or of all.

        In alphabetical order, unless the outbox is encrypted. With ``source``, only
        those that come from there (`Suppression.source`).
        """
        return self._runtime.outbox.suppressions(list, source)

    def sync_suppressions(
        self,
        transport: str | None = None,
        *,
        dry_run: bool = False,
        actor: str | None = None,
    ) -> list[SuppressionSync]:
        """Suppress what the providers' own suppression lists have; says for each what
        was new.

        A provider sends nothing to the addresses on its list, and need not say so. All
        transports whose provider has such a list are asked, or only ``transport``. What
        was listed before somebody unsuppressed it here stays unsuppressed. ``dry_run``
        changes nothing. Memory is bounded, however long a list is.

        Raises `ConfigError` if ``transport`` has no such list, and `TransportDown` if a
        provider does not answer; what was added before that stays.
        """
        from .outbox.records import SuppressionSync

        runtime = self._runtime
        synced = []
        for source in runtime.provider_lists(transport):
            total = SuppressionSync(source.name)
            for step in runtime.sync_suppressions(
                source, dry_run=dry_run, actor=_actor(actor)
            ):
                total = step.total
            synced.append(total)
        return synced

    def unsubscribe_url(
        self, address: AddressLike, *, list: str, locale: str | None = None
    ) -> str:
        """The link by which ``address`` ends all mail with the tag ``list``.

        Use it in the text of a mail; ``send(..., unsubscribe=True)`` puts it in the
        headers. It is signed with the app's ``SECRET_KEY`` and does not expire; see
        :doc:`/unsubscribe`. Raises `MessageError` for an invalid address or tag, and
        `ConfigError` without ``OUTBOX_UNSUBSCRIBE_PATH``, without a secret key, and
        outside a request without ``SERVER_NAME``.

        :param locale: the language of the mail, such as ``"de"``, in which the page is
            then shown; by default it is in that of the browser
        """
        return url_of(self._app, address, list, locale)

    # --------------------------------------------------------------------- people

    def export_person(
        self, address: AddressLike, *, actor: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """All that the outbox keeps about the person with ``address``, as records.

        Each record is a dict of plain JSON values, whose ``kind`` says what it is:
        ``message``, ``suppression``, ``unsuppressed``, ``report``, ``webhook``, or
        ``mention`` for the place of a text that names them and is about somebody else.
        The iterator reads them as it goes. Other recipients of a message are not named,
        except for those in the headers of the mail that the person got. See
        :doc:`/privacy`. Raises `AddressError`.
        """
        return self._runtime.export_person(address, _actor(actor))

    def erase_person(
        self,
        address: AddressLike,
        *,
        suppress: bool = False,
        actor: str | None = None,
    ) -> PersonErased:
        """Erase all that the outbox keeps about the person with ``address``.

        Messages to them stay countable, without their content, subject, replies and
        reports; those that wait for them alone are cancelled first. A suppression stays
        as a digest, keyed with the app's ``SECRET_KEY``, so that it still holds; with
        ``suppress`` they get one for all mail. What cannot be erased yet is in
        `PersonErased.waiting`: call it again later. See :doc:`/privacy`. Raises
        `AddressError`, and `ConfigError` if a digest is to be made without a secret
        key, with nothing erased.
        """
        by = "api" if suppress else None
        return self._runtime.erase_person(address, suppress_by=by, actor=_actor(actor))

    # ------------------------------------------------------- registered functions

    def before_send(self, function: Interceptor) -> Interceptor:
        """Call ``function`` with each message before it is stored.

        ::

            @mail.before_send
            def mark(message: Message, options: SendOptions) -> None:
                if options.tag == "newsletter":
                    message.extra_headers["Precedence"] = "bulk"

        It gets a copy of the message, and the options of ``send``
        (``options.tag``, ``key``, ``metadata``, …), which cannot be changed. It may
        change the message, or return another; with ``raise MessageStopped(reason)``
        the message is not sent. Interceptors are called in the order in which they were
        registered, before or after `init_app`. See :doc:`/hooks`.
        """
        return self._interceptors.register(function)

    def transport_resolver(self, function: Resolver) -> Resolver:
        """Have ``function`` find transports by name that are not in the settings.

        ::

            @mail.transport_resolver
            def customers_server(name: str) -> str | dict[str, object] | None:
                customer = db.session.get(Customer, name.removeprefix("customer-"))
                return customer.mail_url if customer else None

        ``mail.send(message, transport="customer-42")`` then takes any valid name.
        ``function`` is called with that name when mail is due there, in a thread of a
        courier and within the app's context. It returns a URL or a dict of keys, as
        ``MAIL_TRANSPORTS`` has them, or None. The result is used for
        ``OUTBOX_TRANSPORT_CACHE_SECONDS``; after that ``function`` is called again. If
        the result is None or invalid, or if ``function`` raises, the mail waits and
        ``function`` is called again later; ``flask outbox status`` and the dashboard
        show why. See :doc:`/transports`. Raises `ConfigError` if the app has another
        resolver.
        """
        return self._resolvers.register(function)

    @overload
    def preview(self, named: Builder) -> Builder: ...

    @overload
    def preview(self, named: str) -> Callable[[Builder], Builder]: ...

    def preview(self, named: Any) -> Any:
        """Register a function that builds a message, so that it can be viewed without
        being sent.

        ::

            @mail.preview  # or @mail.preview("Welcome, long")
            def welcome(name: str = "Ada") -> Message:
                return welcome_mail(User(name=name))

        The dashboard lists it under its name and calls it each time its page is shown,
        with an application and a request context. The page has a form for its
        parameters. See :doc:`/inbox`. Raises `ConfigError` for a name that another
        function has.
        """
        if isinstance(named, str):
            return self._previews.register(named)
        return self._previews.register(None)(named)

    @contextmanager
    def record_messages(self) -> Iterator[list[PlainMessage | Any]]:
        """Collect the messages that are sent inside the ``with`` block in a list.

        To a type checker each is a `Message`; one that was sent as an
        ``EmailMessage`` is recorded as that.
        """
        from .sending.announce import to_record

        messages: list[PlainMessage | Any] = []

        def collect(_app: Flask, message: PlainMessage | StandardMessage) -> None:
            messages.append(message)

        with to_record.connected_to(collect):
            yield messages

    # --------------------------------------------------------------- the courier

    def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until nothing is due or being delivered: for scripts and tests.

        Returns False after ``timeout_seconds``. Under TESTING, where no courier runs by
        itself, one runs for as long as this takes.
        """
        return self._runtime.drain(timeout_seconds)

    def start(self) -> None:
        """Start this process's courier now, instead of at its first request or send.

        For server hooks that run after a fork, such as gunicorn's ``post_worker_init``.
        """
        self._runtime.start_if_wanted()

    def stop(self) -> None:
        """Stop this process's courier: it finishes what it has begun within
        ``OUTBOX_GRACE_SECONDS`` and returns the rest. Happens by itself when the
        process ends.
        """
        self._runtime.stop()

    # -------------------------------------------------------------------- the app

    def _install(self, app: Flask) -> AppState:
        present: AppState | None = app.extensions.get(EXTENSION)
        if present is None:
            present = AppState(app, self._previews, self._interceptors, self._resolvers)
            app.extensions[EXTENSION] = present
            return present
        present.reload()
        nothing_yet = (
            self._previews.none and self._interceptors.none and self._resolvers.none
        )
        if nothing_yet and not self._served():
            self._previews, self._interceptors = present.previews, present.interceptors
            self._resolvers = present.resolvers
        else:
            present.previews.include(self._previews)
            present.interceptors.include(self._interceptors)
            present.resolvers.include(self._resolvers)
        return present

    @property
    def _runtime(self) -> Runtime:
        return state_of(self._app).runtime

    @property
    def _app(self) -> Flask:
        if has_app_context():
            return itself(current_app)
        served = self._served()
        if len(served) == 1:
            return served[0]
        raise AppUnknown(
            f"This Mail serves {len(served)} apps: use it inside "
            "'with app.app_context():', so that it knows for which one."
            if served
            else "This Mail serves no app, or its app was garbage-collected: call "
            "mail.init_app(app), and keep a reference to the app."
        )

    def _served(self) -> Sequence[Flask]:
        """The apps that were initialised and still exist."""
        return [app for one in self._apps if (app := one()) is not None]


def _actor(name: Any) -> Actor | None:
    """The person of that name, for the audit trail."""
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip():
        raise MessageError("actor", f"{name!r} is not a name: pass it as a string.")
    from .outbox.records import Actor

    return Actor.named(name, "api")


def _check_batch(plan: Plan, what: Any, rows: Any, message: Mapping[str, Any]) -> None:
    check_label("name", plan.name)
    if plan.key is not None:
        check_label("key", plan.key)
    if isinstance(what, str):
        if rows is None:
            raise MessageError("rows", f"{what!r} is a template: pass its rows.")
    elif rows is not None:
        raise MessageError("rows", "rows are for a template, but messages were passed.")
    elif message:
        raise TypeError(f"send_many() takes no {', '.join(message)} with messages")


def _current_app() -> Flask | None:
    return itself(current_app) if has_app_context() else None


def _refuse_other_frameworks(app: object) -> None:
    """Refuse a Quart app, whose contexts and hooks differ from Flask's."""
    if not isinstance(app, Flask):
        kind = f"{type(app).__module__}.{type(app).__qualname__}"
        raise ConfigError(
            f"Flask-Outbox supports only Flask apps, and this is a {kind}. Quart is "
            "not supported yet; a Flask app may have async views."
        )


@contextmanager
def _setting_up(app: Flask) -> Iterator[None]:
    """Let the app accept routes and hooks inside the block, even after a first request.

    Flask refuses them then, because earlier requests may have missed them. Ours only
    concern later requests.
    """
    began, app._got_first_request = app._got_first_request, False
    try:
        yield
    finally:
        app._got_first_request = began or app._got_first_request


def _mount_dashboard(app: Flask, settings: Settings) -> None:
    """Mount the dashboard; it is imported only for an app that uses it."""
    from .dashboard import mount, refuse_wrong_views

    refuse_wrong_views(settings.dashboard_views)
    mount(app, settings.dashboard_path, log.log_dashboard_address)


def _mount_events(app: Flask, path: str) -> None:
    """Mount the page for events; it is imported only for an app that uses it."""
    from .event_routes import mount

    mount(app, path)


def _mount_health(app: Flask, path: str) -> None:
    """Mount the pages for probes; they are imported only for an app that has them."""
    from .health_routes import mount

    mount(app, path)


def _mount_metrics(app: Flask, path: str) -> None:
    """Mount the page of metrics; it is imported only for an app that uses it."""
    from .metrics_routes import mount

    mount(app, path)


def _begin_request() -> None:
    """Note the time of the request, and start the courier for messages of earlier
    processes.
    """
    note_request()
    state_of(current_app).runtime.start_if_wanted()
