"""What Flask-Mail keeps in ``app.extensions["mail"]``: its settings, and `send`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import current_app

from .. import events
from ..config import is_unset
from ..errors import AppUnknown
from ..outbox.records import Receipt, Stop
from .connection import Connection
from .message import Message, is_flask_mails

EXTENSION = "mail"
"""The name under which Flask-Mail, and what builds on it, looks into an app."""

HELD_BACK = Stop("mail.state", "mail.state.suppress is True")
"""Why a message does not leave that is handed over while it is suppressed by hand."""


class _MailMixin:
    """What both Flask-Mail's `Mail` and its state can do, each by its `connect`."""

    app: Any = None

    @contextmanager
    def record_messages(self) -> Iterator[list[Any]]:
        """Collect what is handed over inside the ``with`` block, in a list."""
        messages: list[Any] = []

        def collect(_app: object, message: Any) -> None:
            messages.append(message)

        with events.email_dispatched.connected_to(collect):
            yield messages

    def send(self, message: Any, **wishes: Any) -> Receipt:
        """Return once ``message`` is durably kept; it leaves in the background.

        As in Flask-Mail the message is asked to send itself by what `connect` gives.
        Takes the wishes of `flask_outbox.Mail.send`, and a message of Flask-Mail's own
        too. Raises what Flask-Mail raises: `BadHeaderError`, `Unaddressed` in place of
        its assertions, and for what a server would refuse a `MessageError` that is an
        ``smtplib.SMTPException`` too; an outbox that is out of reach is both as well.
        """
        with self.connect() as connection:
            sends_itself = isinstance(message, Message) or (
                is_flask_mails(message) and not wishes
            )
            if sends_itself:
                receipt = message.send(connection, **wishes)
            else:
                receipt = connection.send(message, **wishes)
        return receipt  # type: ignore[no-any-return]

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def connect(self) -> Connection:
        """What one hands messages over by, in a ``with`` block; opens no connection."""
        app = self.app or current_app
        state = app.extensions.get(EXTENSION)
        if state is None:
            raise AppUnknown(
                f"The app {app.name!r} was not configured with "
                "flask_outbox.flask_mail: call mail.init_app(app)."
            )
        return Connection(state)


class _Setting:
    """One of Flask-Mail's settings: what the app's config says at this moment."""

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

    They are read from the app's config, and what is set here is set there. This process
    heeds it for what it hands over and delivers from then on; couriers in other
    processes go by the config that they started with. With ``suppress`` set to True,
    what this process hands over is kept as *cancelled*, and never leaves.
    """

    server = _Setting("MAIL_SERVER", "127.0.0.1")
    username = _Setting("MAIL_USERNAME", None)
    password = _Setting("MAIL_PASSWORD", None)
    port = _Setting("MAIL_PORT", 25)
    use_tls = _Setting("MAIL_USE_TLS", False)
    use_ssl = _Setting("MAIL_USE_SSL", False)
    default_sender = _Setting("MAIL_DEFAULT_SENDER", None)
    max_emails = _Setting("MAIL_MAX_EMAILS", None)
    ascii_attachments = _Setting("MAIL_ASCII_ATTACHMENTS", False)

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
        """Whether nothing leaves of what this process hands over."""
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
        """What one hands messages over by, in a ``with`` block; opens no connection."""
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
"""What is heeded also when it is set after the first mail."""
