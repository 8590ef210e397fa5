"""`Mail`: what a Flask app sees of all this."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.message import Message as StandardMessage
from typing import Any, overload

from flask import Flask, current_app, has_app_context, has_request_context

from .. import events, logs
from ..cli import outbox_commands
from ..delivery import Report
from ..errors import AppUnknown, ConfigError
from ..handover import Wishes
from ..message import AddressLike, Message
from ..origin import note_the_request, origin, tell_of_the_response
from ..outbox.records import Receipt
from ..previews import Builder, Previews
from ..readying import Interceptors
from ..unsubscribing import mount
from .hooks import Hooks
from .installed import EXTENSION, Installed
from .late import setting_up
from .many import Many
from .people import People


class Mail(Hooks, People, Many):
    """Sends an app's email in the background, and never loses any.

    ::

        mail = Mail(app)  # or Mail(), and mail.init_app(app) later


        @app.post("/send-email")
        def send_email():
            receipt = mail.send(Message("Hello", recipients=["ada@example.org"]))
            return {"id": receipt.id}, 202

    One `Mail` may serve several apps: inside an app's context it works for that app,
    elsewhere for the one app that it was initialised with. It keeps the app alive that
    it was made with, and none of those that `init_app` was called with.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._apps: list[weakref.ref[Flask]] = []
        self._previews = Previews()
        self._interceptors = Interceptors()
        if app is not None:
            self.init_app(app)
            self._made_with = _itself(app)

    def init_app(self, app: Flask) -> None:
        """Check the app's settings and put the outbox in place; start nothing.

        Reads every key that :doc:`/configuration` lists: ``MAIL_*`` says how mail
        leaves, ``OUTBOX_*`` how it is kept and worked. Raises `ConfigError`.

        Again with the same app it reads the settings anew; where they have changed, the
        courier that worked by the old ones ends. It may be called after the app's first
        request too.

        - ``app.extensions["outbox"]`` holds the app's runtime, made at its first use
        - each request is timed, for the story of what it sends; the first one starts
          the courier, so that mail left by the last process goes out
        - ``flask outbox`` has the commands
        - with ``OUTBOX_DASHBOARD`` the dashboard is mounted, and with
          ``OUTBOX_UNSUBSCRIBE_PATH`` the page on which people unsubscribe
        """
        _refuse_other_frameworks(app)
        app = _itself(app)
        installed = self._install(app)
        with setting_up(app):
            if _begin_request not in app.before_request_funcs.get(None, ()):
                app.before_request(_begin_request)
            app.cli.add_command(outbox_commands)
            if installed.settings.dashboard is not None:
                _mount_dashboard(app, installed.settings.dashboard_path)
            if installed.settings.unsubscribe_path is not None:
                mount(app, installed.settings.unsubscribe_path)
        logs.listen()
        if app not in self._served():
            self._apps.append(weakref.ref(app))

    def _install(self, app: Flask) -> Installed:
        present: Installed | None = app.extensions.get(EXTENSION)
        if present is None:
            present = Installed(app, self._previews, self._interceptors)
            app.extensions[EXTENSION] = present
            return present
        present.read_again()
        if self._previews.none and self._interceptors.none and not self._served():
            self._previews, self._interceptors = present.previews, present.interceptors
        else:
            present.previews.include(self._previews)
            present.interceptors.include(self._interceptors)
        return present

    def _served(self) -> list[Flask]:
        """The apps that it was initialised with and that are still there."""
        here = [(one, app) for one in self._apps if (app := one()) is not None]
        self._apps = [one for one, _ in here]
        return [app for _, app in here]

    def send(
        self,
        message: Message | StandardMessage,
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
        session: Any = None,
    ) -> Receipt:
        """Return once ``message`` is durably kept; it leaves in the background.

        :param message: a `Message`, or a standard library ``EmailMessage``
        :param at: not before this time, an aware datetime
        :param delay: not before so many seconds, or a timedelta, from now
        :param priority: from -1000 to 1000; what is higher overtakes
        :param key: makes it idempotent: the same key again gives the receipt of the
            first, with ``duplicate`` true, and sends nothing
        :param tag: a label for people, for ``MAIL_ROUTE``, and for `suppress`
        :param metadata: anything ``app.json`` can write, kept beside the message
        :param transport: the name of the transport that it leaves by, in place of what
            ``MAIL_ROUTE`` says, or the default
        :param return_path: where bounces go, in place of the sender: the address that
            the server is told in MAIL FROM
        :param unsubscribe: whether its one recipient can end all mail with this ``tag``
            by one click (RFC 8058); see :doc:`/unsubscribe`
        :param session: an SQLAlchemy session or connection on the outbox's database:
            the message exists if and only if that transaction commits

        What `before_send` registered is asked first. A message that it stops is kept
        as *cancelled*, and ``stopped`` in the receipt says why.

        Raises `MessageError` for a message that could never be sent, and
        `OutboxUnavailable` when it could not be kept; either way nothing was accepted.
        """
        began = time.perf_counter()
        wishes = Wishes(
            at=at,
            delay=delay,
            priority=priority,
            key=key,
            tag=tag,
            metadata=metadata,
            transport=transport,
            return_path=return_path,
            unsubscribe=unsubscribe,
        )
        receipt = self._runtime.send(message, wishes, origin(), session)
        if has_request_context() and not receipt.duplicate:
            tell_of_the_response(self._runtime, receipt, time.perf_counter() - began)
        return receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def send_now(
        self, message: Message | StandardMessage, *, transport: str | None = None
    ) -> Report:
        """Deliver ``message`` before returning, outside the outbox.

        It leaves by ``transport``, as in `send`; nothing stands in for that, and
        ``MAIL_RATE`` does not count it. Who must not be mailed at all (`suppress`) is
        left out, and counts as not accepted.
        Returns what the server replied for each recipient. Raises `DeliveryError`,
        whose ``report`` says the same, unless everyone was accepted,
        `TransportDown` when the server is out of reach, `SigningError` when the
        message could not be signed (DKIM), `MessageStopped` when an interceptor stopped
        it, and `OutboxUnavailable` when the outbox could not be asked whom not to mail.
        Nothing is retried.
        """
        return self._runtime.send_now(message, transport)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is due or being delivered: for scripts and tests.

        False when ``timeout`` seconds have passed. Under TESTING, where no courier
        works by itself, one works for as long as this takes.
        """
        return self._runtime.drain(timeout)

    def start(self) -> None:
        """Start this process's courier now, instead of at its first request or send.

        For server hooks that run after a fork, such as gunicorn's ``post_worker_init``.
        """
        self._runtime.start_if_wanted()

    def stop(self) -> None:
        """Stop this process's courier: what it has begun is finished within the grace
        time, the rest is given back. Happens by itself when the process ends.
        """
        self._runtime.stop()

    @contextmanager
    def record_messages(self) -> Iterator[list[Message | StandardMessage]]:
        """Collect what is handed over inside the ``with`` block, in a list."""
        messages: list[Message | StandardMessage] = []

        def collect(_app: Flask, message: Message | StandardMessage) -> None:
            messages.append(message)

        with events.email_dispatched.connected_to(collect):
            yield messages

    @overload
    def preview(self, named: Builder) -> Builder: ...

    @overload
    def preview(self, named: str) -> Callable[[Builder], Builder]: ...

    def preview(self, named: Any) -> Any:
        """Register a function that builds a message, to be looked at without sending.

        ::

            @mail.preview  # or @mail.preview("Welcome, long")
            def welcome(name: str = "Ada") -> Message:
                return welcome_mail(User(name=name))

        The dashboard lists it under its name and calls it each time it is looked at,
        with an application and a request context; what its parameters are may be
        chosen there. See :doc:`/inbox`. Raises `ConfigError` for a name that another
        function has.
        """
        if isinstance(named, str):
            return self._previews.register(named)
        return self._previews.register(None)(named)

    @property
    def _installed(self) -> Installed:
        installed: Installed | None = self._app.extensions.get(EXTENSION)
        if installed is None:
            raise AppUnknown(
                f"The app {self._app.name!r} has no outbox: call mail.init_app(app)."
            )
        return installed

    @property
    def _app(self) -> Flask:
        if has_app_context():
            return _itself(current_app)
        served = self._served()
        if len(served) == 1:
            return served[0]
        raise AppUnknown(
            "Which app's mail is this? This Mail serves "
            f"{len(served)} apps: use it inside 'with app.app_context():'."
            if served
            else "This Mail serves no app, or none that is still there: call "
            "mail.init_app(app), and keep the app."
        )


def _refuse_other_frameworks(app: object) -> None:
    """Say so to a Quart app, whose contexts and hooks are others than Flask's."""
    if not isinstance(app, Flask):
        kind = f"{type(app).__module__}.{type(app).__qualname__}"
        raise ConfigError(
            f"Flask-Outbox serves Flask apps, and this is a {kind}. Quart is not "
            "supported yet; a Flask app may have async views."
        )


def _itself(app: Flask) -> Flask:
    """The app, where ``current_app`` was passed, which stands for it."""
    here: Flask = getattr(app, "_get_current_object", lambda: app)()
    return here


def _mount_dashboard(app: Flask, path: str) -> None:
    """Load the dashboard only for an app that wants it."""
    from ..dashboard import mount

    mount(app, path, logs.say_how_the_dashboard_opens)


def _begin_request() -> None:
    """Note when the request came, and see that what the last process left goes out."""
    note_the_request()
    current_app.extensions[EXTENSION].runtime.start_if_wanted()
