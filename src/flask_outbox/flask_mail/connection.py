"""Flask-Mail's `Connection`, which hands over to the outbox."""

from __future__ import annotations

import time
from typing import Any, Self

from flask import current_app

from .. import events
from .. import message as ours
from ..errors import MessageError, OutboxUnavailable, TemplateError
from ..outbox.records import Receipt
from .errors import BadHeaderError, Unaddressed, told_as_theirs
from .message import Message, adopted, is_flask_mails
from .text import sanitize_address, sanitize_addresses


class Connection:
    """Hands messages over, one by one; couriers hold the connections to the server."""

    host: Any = None
    """Whoever sets it to an ``smtplib.SMTP`` has messages sent by that, there and then.
    """

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
    ) -> Receipt | None:
        """`Mail.send`; bounces go to ``envelope_from`` where it is given.

        None where `host` has sent it.
        """
        message = checked(message, self.mail.default_sender)
        if envelope_from is not None:
            wishes["return_path"] = envelope_from
        receipt = None
        if self.host is None or not isinstance(message, Message):
            receipt = self._hand_over(message, wishes)
        else:
            self._send_by_host(message, envelope_from)
        self.num_emails += 1
        return receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt | None:
        """Short for ``send(Message(...))``, with `Message`'s arguments."""
        return self.send(Message(*args, **kwargs))

    def _hand_over(self, message: Any, wishes: dict[str, Any]) -> Receipt:
        try:
            receipt: Receipt = self.mail._mail._keep(message, wishes)
        except (MessageError, OutboxUnavailable) as error:
            raise told_as_theirs(error) from error
        if self.mail._stop is not None and receipt.stopped == self.mail._stop.reason:
            self._tell(message)
        return receipt

    def _send_by_host(self, message: Message, envelope_from: Any) -> None:
        self.host.sendmail(
            sanitize_address(envelope_from or message.sender),  # type: ignore[arg-type]
            list(sanitize_addresses(message.send_to)),  # type: ignore[arg-type]
            message.as_bytes(),
            message.mail_options,
            message.rcpt_options,
        )
        self._tell(message)

    def _tell(self, message: Any) -> None:
        app = self.mail._mail.app or current_app
        app = getattr(app, "_get_current_object", lambda: app)()
        events.emit(events.email_dispatched, app, message=message)


def checked(message: Any, default_sender: Any) -> Any:
    """``message``, once it has passed the checks that Flask-Mail makes."""
    if not isinstance(message, Message) and is_flask_mails(message):
        message = adopted(message)
    if isinstance(message, Message):
        _check(message, default_sender)
    elif isinstance(message, ours.Message) and not message.send_to:
        raise Unaddressed("recipients", "No recipients have been added; pass some")
    return message


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
    if message.template is not None and message.writes_itself:
        raise TemplateError(
            "its class writes the message itself (as_bytes), and a courier that "
            "renders it could not: pass render='now'.",
            message.template.name,
        )
    if message.date is None:
        message.date = time.time()
    message.message_id = message.message_id  # made now, if it was not
