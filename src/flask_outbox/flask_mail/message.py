"""Flask-Mail's `Message` and `Attachment`: ours, with Flask-Mail's attributes."""

from __future__ import annotations

import copy
import re
import secrets
import sys
import warnings
from email import message_from_bytes
from email.message import Message as StandardMessage
from email.policy import SMTP
from email.utils import parseaddr, quote
from typing import Any, Self

from flask import current_app, has_app_context

from ..errors import AddressError, MessageError
from ..message import Address, AddressLike, Attachment
from ..mime import compose
from ..templating import Message as OurMessage

__all__ = ["Attachment", "Message", "converted", "is_flask_mail_message"]

_line_break = re.compile(r"[\r\n]").search
_needs_quotes = re.compile(r'[()<>@,:;".\[\]\\]').search


class Message(OurMessage):
    """An email, with Flask-Mail's arguments, attributes and methods.

    As in Flask-Mail, ``sender`` defaults to ``MAIL_DEFAULT_SENDER``, and a pair becomes
    a string; a message that is sent twice has the same Message-ID both times.
    """

    # Each property stores its value under its own name, as a plain message does.

    @property
    def sender(self) -> AddressLike | None:
        """The sender, as a string."""
        sender: AddressLike | None = vars(self)["sender"]
        return sender

    @sender.setter
    def sender(self, value: AddressLike | None) -> None:
        sender = value or _app_setting("default_sender")
        if isinstance(sender, list | tuple):
            sender = _as_mailbox(*sender)
        vars(self)["sender"] = sender

    @property
    def subject(self) -> Any:
        """The subject, on one line if it was validly folded (RFC 5322 section
        2.2.3).
        """
        return vars(self)["subject"]

    @subject.setter
    def subject(self, value: Any) -> None:
        vars(self)["subject"] = _unfolded(value) if isinstance(value, str) else value

    @property
    def rfc_message_id(self) -> str:
        """The Message-ID, generated at first access, at the sender's domain."""
        own: str | None = vars(self)["rfc_message_id"]
        if own is None:
            own = vars(self)["rfc_message_id"] = (
                f"<{secrets.token_hex(16)}@{_domain(self.sender)}>"
            )
        return own

    @rfc_message_id.setter
    def rfc_message_id(self, value: str | None) -> None:
        vars(self)["rfc_message_id"] = value

    @property
    def msgId(self) -> str:
        """Flask-Mail's name for `rfc_message_id`."""
        return self.rfc_message_id

    @msgId.setter
    def msgId(self, value: str) -> None:
        self.rfc_message_id = value

    in_flask_mails_form = True

    def as_bytes(self) -> bytes:
        """The message as it would be sent: with CRLF lines and a stable Message-ID.

        Does not raise for a message that `send` would refuse. If a subclass overrides
        this, its result is sent, byte for byte.
        """
        if type(self)._message is not Message._message:
            return self._message().as_bytes(policy=SMTP)
        return self._written()

    def _message(self) -> StandardMessage:
        """The same as a standard library message, for subclasses that change it."""
        return message_from_bytes(self._written(), policy=SMTP)

    def _written(self) -> bytes:
        for one in (self, self._cleaned()):
            try:
                return compose(
                    one.rendered(),
                    ascii_attachments=bool(_app_setting("ascii_attachments")),
                    unique=self.rfc_message_id,
                    as_it_writes_itself=False,
                ).content
            except MessageError:
                continue
        return self._outline()

    def _cleaned(self) -> Self:
        """A copy with the addresses corrected as Flask-Mail would write them."""
        one = copy.copy(self)
        vars(one)["sender"] = _cleaned(self.sender)
        vars(one)["subject"] = _on_one_line(self.subject or "")
        for name in ("recipients", "cc", "bcc"):
            setattr(one, name, [_cleaned(address) for address in getattr(self, name)])
        if self.reply_to and not isinstance(self.reply_to, list):
            one.reply_to = _cleaned(self.reply_to)
        return one

    def _outline(self) -> bytes:
        """A readable summary of a message that could not be sent."""
        names = ("Subject", "From", "To", "Cc", "Message-ID")
        values = (
            self.subject,
            self.sender,
            self.recipients,
            self.cc,
            self.rfc_message_id,
        )
        pairs = zip(names, map(_on_one_line, values), strict=True)
        head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        return f"{head}\r\n{self.body or ''}".encode(errors="replace")

    @property
    def overrides_writing(self) -> bool:
        """Whether a subclass writes the message itself."""
        own = type(self)
        return (
            own.as_bytes is not Message.as_bytes or own._message is not Message._message
        )

    def own_content(self) -> bytes | None:
        """The bytes of a subclass that writes the message itself; else None."""
        return self.as_bytes() if self.overrides_writing else None

    def as_string(self) -> str:
        """`as_bytes` as text."""
        return self.as_bytes().decode()

    def __bytes__(self) -> bytes:
        return self.as_bytes()

    def __str__(self) -> str:
        return self.as_string()

    def has_bad_headers(self) -> bool:
        """Whether a line break is in the subject, sender, a recipient or reply-to."""
        texts = [self.subject, self.sender, self.reply_to, *self.recipients]
        return any(_has_line_break(one) for one in texts if one)

    def is_bad_headers(self) -> bool:
        """The former name of `has_bad_headers`."""
        warnings.warn(
            "is_bad_headers() is a former name: call has_bad_headers().",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.has_bad_headers()

    def send(self, connection: Any, **options: Any) -> Any:
        """``connection.send(self)``."""
        return connection.send(self, **options)


def is_flask_mail_message(message: object) -> bool:
    """Whether it is a message of the package Flask-Mail."""
    theirs = sys.modules.get("flask_mail")
    return theirs is not None and isinstance(message, theirs.Message)


def converted(theirs: Any) -> Message:
    """One of our messages with the same content; ``theirs`` is not changed."""
    return Message(
        subject=theirs.subject,
        recipients=theirs.recipients,
        body=theirs.body,
        alts=theirs.alts,
        sender=theirs.sender,
        cc=theirs.cc,
        bcc=theirs.bcc,
        attachments=[
            Attachment(
                one.filename, one.content_type, one.data, one.disposition, one.headers
            )
            for one in theirs.attachments
        ],
        reply_to=theirs.reply_to,
        date=theirs.date,
        charset=theirs.charset,
        extra_headers=theirs.extra_headers,
        mail_options=theirs.mail_options,
        rcpt_options=theirs.rcpt_options,
        rfc_message_id=theirs.msgId,
    )


def _app_setting(setting: str) -> Any:
    """A setting in the current app's state; None outside an app."""
    state = current_app.extensions.get("mail") if has_app_context() else None
    return getattr(state, setting, None)


def _as_mailbox(name: object, address: object) -> str:
    name = str(name)
    if _needs_quotes(name):
        name = f'"{quote(name)}"'
    return f"{name} <{address}>"


def _unfolded(subject: str) -> str:
    first, *rest = lines = subject.split("\r\n")
    lawful = all(line.strip() for line in lines)
    if lawful and all(line[0] in " \t" for line in rest):
        return first + "".join(rest)
    return subject


def _domain(sender: AddressLike | None) -> str:
    try:
        return Address.parse(sender or "", "sender").domain
    except AddressError:
        return "localhost"


def _cleaned(address: Any) -> AddressLike | None:
    if not address:
        return None
    if isinstance(address, str | tuple):
        given = address if isinstance(address, str) else _as_mailbox(*address)
        name, spec = parseaddr(_on_one_line(given))
        return (name, spec) if name else spec
    return address  # type: ignore[no-any-return]


def _on_one_line(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_on_one_line, value))
    return "".join(one for one in str(value) if one == " " or one.isprintable())


def _has_line_break(value: object) -> bool:
    text = "".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _line_break(text) is not None
