"""Flask-Mail's `Mail` and `Connection`, handing over to the outbox."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from email.message import Message as StandardMessage
from typing import Any, Self

from flask import Flask

from .. import message as ours
from ..config import says_where
from ..delivery import Report
from ..errors import AppUnknown
from ..extension import Mail as OutboxMail
from ..outbox.records import Receipt
from .errors import BadHeaderError, Unaddressed
from .message import Message, adopted, is_flask_mails

EXTENSION = "mail"
"""The name under which Flask-Mail, and what builds on it, looks into an app."""


@dataclass
class State:
    """What Flask-Mail keeps in ``app.extensions["mail"]``: its settings, and `send`.

    They say what the app's config said at `Mail.init_app`. Only ``default_sender`` may
    be set later; couriers work by the config.
    """

    server: str
    username: str | None
    password: str | None = field(repr=False)
    port: int | None
    use_tls: bool
    use_ssl: bool
    default_sender: str | None
    debug: int
    max_emails: int | None
    suppress: bool
    ascii_attachments: bool
    _mail: Mail = field(repr=False, compare=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) and name != "default_sender":
            raise AttributeError(
                f"mail.state.{name} is read only, for couriers work by the app's "
                f"config: set app.config['{_key(name)}'] before the first mail is sent."
            )
        super().__setattr__(name, value)

    def send(self, message: Any, **wishes: Any) -> Receipt:
        """`Mail.send`."""
        return self._mail.send(message, **wishes)

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """`Mail.send_message`."""
        return self._mail.send_message(*args, **kwargs)

    def connect(self) -> Connection:
        """`Mail.connect`."""
        return self._mail.connect()

    def record_messages(self) -> AbstractContextManager[list[Any]]:
        """`Mail.record_messages`."""
        return self._mail.record_messages()


class Mail(OutboxMail):
    """`flask_outbox.Mail` as a drop-in for Flask-Mail's.

    Everything that `flask_outbox.Mail` can do is there too. Where it was made with an
    app it works for that app; otherwise for the one in whose context it is used.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: State | None = None
        super().__init__()
        if app is not None:
            self.state = self.init_app(app)

    def init_app(self, app: Flask) -> State:  # type: ignore[override]
        """What `flask_outbox.Mail.init_app` does, and ``app.extensions["mail"]``.

        As with Flask-Mail, a production app that does not say how its mail leaves
        sends it to ``127.0.0.1``. Returns the app's state. Raises `ConfigError`.
        """
        if not (app.debug or app.testing or _says_how(app.config)):
            app.config["MAIL_SERVER"] = "127.0.0.1"
        super().init_app(app)
        state = self.init_mail(app.config, app.debug, app.testing)
        app.extensions[EXTENSION] = state
        return state

    def init_mail(
        self,
        config: Mapping[str, Any],
        debug: bool | int = False,
        testing: bool = False,
    ) -> State:
        """What Flask-Mail's keys in ``config`` say, with its defaults."""
        return State(
            server=config.get("MAIL_SERVER", "127.0.0.1"),
            username=config.get("MAIL_USERNAME"),
            password=config.get("MAIL_PASSWORD"),
            port=config.get("MAIL_PORT", 25),
            use_tls=config.get("MAIL_USE_TLS", False),
            use_ssl=config.get("MAIL_USE_SSL", False),
            default_sender=config.get("MAIL_DEFAULT_SENDER"),
            debug=int(config.get("MAIL_DEBUG", debug)),
            max_emails=config.get("MAIL_MAX_EMAILS"),
            suppress=config.get("MAIL_SUPPRESS_SEND", testing),
            ascii_attachments=config.get("MAIL_ASCII_ATTACHMENTS", False),
            _mail=self,
        )

    def send(self, message: Any, **wishes: Any) -> Receipt:
        """Return once ``message`` is durably kept; it leaves in the background.

        Takes the wishes of `flask_outbox.Mail.send`, and a message of Flask-Mail's own
        too. Raises what Flask-Mail raises before it asks the server: `BadHeaderError`,
        and `Unaddressed` in place of its assertions; what a server would refuse for
        its form raises another `MessageError`.
        """
        return super().send(self._checked(message), **wishes)

    def send_now(self, message: Any, **wishes: Any) -> Report:
        """`flask_outbox.Mail.send_now`, with the checks of `send`."""
        return super().send_now(self._checked(message), **wishes)

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def connect(self) -> Connection:
        """What one hands messages over by, in a ``with`` block; opens no connection."""
        return Connection(self._state)

    def __getattr__(self, name: str) -> Any:
        """Flask-Mail's settings, as in ``mail.server``."""
        if name in _SETTINGS:
            return getattr(self.state, name, None)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def _checked(self, message: Any) -> ours.Message | StandardMessage:
        """``message``, once it has passed the checks that Flask-Mail makes."""
        if not isinstance(message, Message) and is_flask_mails(message):
            message = adopted(message)
        if isinstance(message, Message):
            _check(message, self._state.default_sender)
        return message  # type: ignore[no-any-return]

    @property
    def _state(self) -> State:
        state: State | None = self._app.extensions.get(EXTENSION)
        if state is None:
            raise AppUnknown(
                f"The app {self._app.name!r} was not configured with "
                "flask_outbox.flask_mail: call mail.init_app(app)."
            )
        return state

    @property
    def _app(self) -> Flask:
        return self.app or super()._app


class Connection:
    """Hands messages over, one by one; couriers hold the connections to the server."""

    host = None
    """No server is asked here."""

    def __init__(self, mail: Any) -> None:
        self.mail = mail
        self.num_emails = 0
        """How many messages were handed over in this block."""

    def __enter__(self) -> Self:
        self.num_emails = 0
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(
        self,
        message: Any,
        envelope_from: str | tuple[str, str] | None = None,
        **wishes: Any,
    ) -> Receipt:
        """`Mail.send`; bounces go to ``envelope_from`` where it is given."""
        receipt: Receipt = self.mail.send(message, return_path=envelope_from, **wishes)
        self.num_emails += 1
        return receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))


def _says_how(config: Mapping[str, Any]) -> bool:
    return says_where(config) or config.get("MAIL_TRANSPORTS") is not None


def _key(setting: str) -> str:
    return "MAIL_SUPPRESS_SEND" if setting == "suppress" else f"MAIL_{setting.upper()}"


_SETTINGS = {one.name for one in fields(State) if not one.name.startswith("_")}


def _check(message: Message, default_sender: Any) -> None:
    """Refuse what Flask-Mail refuses, and fix date and Message-ID as it does."""
    if not message.send_to:
        raise Unaddressed("recipients", "No recipients have been added; pass some")
    message.sender = message.sender or default_sender
    if not message.sender:
        raise Unaddressed(
            "sender", "is missing; pass sender= or set MAIL_DEFAULT_SENDER"
        )
    if message.has_bad_headers():
        raise BadHeaderError
    if message.date is None:
        message.date = time.time()
    message.message_id = message.message_id  # made now, if it was not
