"""Flask-Mail's `Mail` and `Connection`, which store messages in the outbox.

`State` is what Flask-Mail stores in ``app.extensions["mail"]``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from flask import Flask, current_app

from .. import message as ours
from ..app_state import itself, state_of
from ..config import is_unset, names_server
from ..delivery import Report
from ..errors import AppUnknown, MessageError, OutboxUnavailable, TemplateError
from ..extension import Mail as OutboxMail
from ..outbox.records import Receipt, Stop
from ..sending.announce import announce_dispatch, to_record
from .compat import (
    AddressMissing,
    BadHeaderError,
    as_flask_mail_error,
    sanitize_address,
    sanitize_addresses,
)
from .message import Message, converted, is_flask_mail_message


class Connection:
    """Stores messages one by one; couriers hold the connections to the server."""

    host: Any = None
    """If it is set to an ``smtplib.SMTP``, messages are sent through that at once."""

    def __init__(self, mail: Any) -> None:
        self.mail = mail
        self.num_emails: int = 0
        """How many messages were sent in this block."""

    def __enter__(self) -> Self:
        self.num_emails = 0
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(
        self,
        message: Any,
        envelope_from: str | tuple[str, str] | None = None,
        **options: Any,
    ) -> Receipt | None:
        """`Mail.send`; bounces go to ``envelope_from`` if it is given.

        Returns None if `host` has sent the message.
        """
        message = checked(message, self.mail.default_sender)
        if envelope_from is not None:
            options["return_path"] = envelope_from
        receipt = None
        if self.host is None or not isinstance(message, Message):
            receipt = self._hand_over(message, options)
        else:
            self._send_by_host(message, envelope_from)
            self._tell(message, options)
        self.num_emails += 1
        return receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt | None:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def _hand_over(self, message: Any, options: dict[str, Any]) -> Receipt:
        try:
            receipt: Receipt = self.mail._mail._keep(message, options)
        except (MessageError, OutboxUnavailable) as error:
            raise as_flask_mail_error(error) from error
        if self.mail._stop is not None and receipt.stopped == self.mail._stop.reason:
            self._tell(message, options)
        return receipt

    def _send_by_host(self, message: Message, envelope_from: Any) -> None:
        self.host.sendmail(
            sanitize_address(envelope_from or message.sender),  # type: ignore[arg-type]
            list(sanitize_addresses(message.send_to)),  # type: ignore[arg-type]
            message.as_bytes(),
            message.mail_options,
            message.rcpt_options,
        )

    def _tell(self, message: Any, options: Mapping[str, Any]) -> None:
        app = itself(self.mail._mail.app or current_app)
        announce_dispatch(app, message, sensitive=bool(options.get("sensitive")))


def checked(message: Any, default_sender: Any) -> Any:
    """``message``, after the checks that Flask-Mail makes."""
    if not isinstance(message, Message) and is_flask_mail_message(message):
        message = converted(message)
    if isinstance(message, Message):
        _check(message, default_sender)
    elif isinstance(message, ours.Message) and not message.send_to:
        raise AddressMissing("recipients", "No recipients have been added; pass some")
    return message


def _check(message: Message, default_sender: Any) -> None:
    """Refuse what Flask-Mail refuses, and set date and Message-ID as it does."""
    if not message.send_to:
        raise AddressMissing("recipients", "No recipients have been added; pass some")
    message.sender = message.sender or default_sender
    if not message.sender:
        raise AddressMissing(
            "sender", "is missing; pass sender= or set MAIL_DEFAULT_SENDER"
        )
    if message.has_bad_headers():
        raise BadHeaderError
    if message.template is not None and message.overrides_writing:
        raise TemplateError(
            "its class writes the message itself (as_bytes), and a courier that "
            "renders it could not: pass render='now'.",
            message.template.name,
        )
    if message.date is None:
        message.date = time.time()
    message.rfc_message_id = message.rfc_message_id  # generated now, if it was not


EXTENSION = "mail"
"""The name in ``app.extensions`` where other extensions look for Flask-Mail."""

HELD_BACK = Stop("mail.state", "mail.state.suppress is True")
"""The reason for not sending a message after ``suppress`` was set to True."""


class _MailMixin:
    """The common methods of Flask-Mail's `Mail` and its state, based on `connect`."""

    app: Any = None

    @contextmanager
    def record_messages(self) -> Iterator[list[Any]]:
        """Collect the messages that are sent inside the ``with`` block in a list."""
        messages: list[Any] = []

        def collect(_app: object, message: Any) -> None:
            messages.append(message)

        with to_record.connected_to(collect):
            yield messages

    def send(self, message: Any, **options: Any) -> Receipt:
        """Return once ``message`` is durably stored; a courier delivers it later.

        As in Flask-Mail, the message's own ``send`` is called with a connection from
        `connect`. Takes the options of `flask_outbox.Mail.send`, and also Flask-Mail's
        own messages. Raises Flask-Mail's errors: `BadHeaderError`, `AddressMissing`
        instead of its assertions, and for anything that a server would refuse a
        `MessageError` that is also an ``smtplib.SMTPException``; so is the error of an
        unavailable outbox.
        """
        with self.connect() as connection:
            sends_itself = isinstance(message, Message) or (
                is_flask_mail_message(message) and not options
            )
            if sends_itself:
                receipt = message.send(connection, **options)
            else:
                receipt = connection.send(message, **options)
        return receipt  # type: ignore[no-any-return]

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def connect(self) -> Connection:
        """A connection for use in a ``with`` block; it opens no socket."""
        app = self.app or current_app
        state = app.extensions.get(EXTENSION)
        if state is None:
            raise AppUnknown(
                f"The app {app.name!r} was not configured with "
                "flask_outbox.flask_mail: call mail.init_app(app)."
            )
        return Connection(state)


class _Setting:
    """One of Flask-Mail's settings: its current value in the app's config."""

    def __init__(self, key: str, default: Any) -> None:
        self._key = key
        self._default = default

    def __get__(self, state: State, _owner: type[State]) -> Any:
        value = state._config.get(self._key)
        return self._default if is_unset(value) else value

    def __set__(self, state: State, value: Any) -> None:
        state._config[self._key] = value


class State(_MailMixin):
    """Flask-Mail's settings of one app, and its `send`.

    Settings are read from and written to the app's config. A change applies to what
    this process sends and delivers from then on; couriers in other processes use the
    config with which they started. With ``suppress`` set to True, messages that this
    process sends are stored as *cancelled*, and never leave.
    """

    server: Any = _Setting("MAIL_SERVER", "127.0.0.1")
    username: Any = _Setting("MAIL_USERNAME", None)
    password: Any = _Setting("MAIL_PASSWORD", None)
    port: Any = _Setting("MAIL_PORT", 25)
    use_tls: Any = _Setting("MAIL_USE_TLS", False)
    use_ssl: Any = _Setting("MAIL_USE_SSL", False)
    default_sender: Any = _Setting("MAIL_DEFAULT_SENDER", None)
    max_emails: Any = _Setting("MAIL_MAX_EMAILS", None)
    ascii_attachments: Any = _Setting("MAIL_ASCII_ATTACHMENTS", False)

    def __init__(
        self, mail: Any, config: Mapping[str, Any], debug: bool | int, testing: bool
    ) -> None:
        self._mail = mail
        self._config: Any = config
        self._debug = debug
        self._testing = testing
        self._held_back = False

    @property
    def debug(self) -> int:
        """Whether the dialogue with the server is logged."""
        value = self._config.get("MAIL_DEBUG")
        return int(self._debug if is_unset(value) else value)

    @debug.setter
    def debug(self, value: int) -> None:
        self._config["MAIL_DEBUG"] = value

    @property
    def suppress(self) -> bool:
        """Whether messages that this process sends do not leave."""
        return self._held_back or self._suppressed

    @suppress.setter
    def suppress(self, value: bool) -> None:
        self._held_back = bool(value) and not self._suppressed
        if not value and self._suppressed:
            self._config["MAIL_SUPPRESS_SEND"] = False

    @property
    def _suppressed(self) -> bool:
        value = self._config.get("MAIL_SUPPRESS_SEND")
        testing = self._testing or bool(self._config.get("TESTING"))
        return testing if is_unset(value) else bool(value)

    @property
    def _stop(self) -> Stop | None:
        return HELD_BACK if self._held_back else None

    def connect(self) -> Connection:
        """A connection for use in a ``with`` block; it opens no socket."""
        return Connection(self)

    def __repr__(self) -> str:
        return f"<State of mail by {self.server}:{self.port}>"


SETTINGS = frozenset(
    name for name, one in vars(State).items() if isinstance(one, _Setting)
) | {"debug", "suppress"}

KEYS = (
    "MAIL_SERVER", "MAIL_USERNAME", "MAIL_PASSWORD", "MAIL_PORT", "MAIL_USE_TLS",
    "MAIL_USE_SSL", "MAIL_DEFAULT_SENDER", "MAIL_MAX_EMAILS", "MAIL_DEBUG",
    "MAIL_ASCII_ATTACHMENTS", "MAIL_SUPPRESS_SEND",
)  # fmt: skip
"""Keys that may also change after the first mail."""


class Mail(_MailMixin, OutboxMail):
    """`flask_outbox.Mail` as a drop-in replacement for Flask-Mail's.

    It has everything that `flask_outbox.Mail` has. If it was created with an app, it
    works for that app; otherwise for the current one.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: State | None = None
        super().__init__()
        if app is not None:
            self.state = self.init_app(app)

    def init_app(self, app: Flask) -> State:  # type: ignore[override]
        """Do what `flask_outbox.Mail.init_app` does, and set
        ``app.extensions["mail"]``.

        As with Flask-Mail, a production app that does not configure a server sends to
        ``127.0.0.1``. Returns the app's state. Raises `ConfigError`.
        """
        if not (app.debug or app.testing or _names_transport(app.config)):
            app.config["MAIL_SERVER"] = "127.0.0.1"
        super().init_app(app)
        state = self.init_mail(app.config, app.debug, app.testing)
        state_of(app).watch(KEYS, lambda: state._stop)
        app.extensions[EXTENSION] = state
        return state

    def init_mail(
        self,
        config: Mapping[str, Any],
        debug: bool | int = False,
        testing: bool = False,
    ) -> State:
        """The state for Flask-Mail's keys in ``config``, with its defaults."""
        return State(self, config, debug, testing)

    def send_now(self, message: Any, **options: Any) -> Report:
        """`flask_outbox.Mail.send_now`, with the checks of `send`."""
        state = self._app.extensions[EXTENSION]
        try:
            return super().send_now(checked(message, state.default_sender), **options)
        except (MessageError, OutboxUnavailable) as error:
            raise as_flask_mail_error(error) from error

    def _keep(self, message: Any, options: Mapping[str, Any]) -> Receipt:
        """Store the message, without calling a subclass's `send`."""
        return OutboxMail.send(self, message, **options)

    def __getattr__(self, name: str) -> Any:
        """Flask-Mail's settings, as in ``mail.server``."""
        if name in SETTINGS:
            return getattr(self.state, name, None)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    @property
    def _app(self) -> Flask:
        return self.app or super()._app


def _names_transport(config: Mapping[str, Any]) -> bool:
    return names_server(config) or config.get("MAIL_TRANSPORTS") is not None
