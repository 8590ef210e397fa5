"""Flask-Mail's `Message` and `Attachment`: ours, with what only Flask-Mail's have."""

from __future__ import annotations

import re
import secrets
import sys
import warnings
from email.utils import quote
from typing import Any

from flask import current_app, has_app_context

from .. import message as ours
from ..errors import AddressError
from ..message import Address, AddressLike, Attachment
from ..mime import compose

__all__ = ["Attachment", "Message", "adopted", "is_flask_mails"]

_line_break = re.compile(r"[\r\n]").search
_needs_quotes = re.compile(r'[()<>@,:;".\[\]\\]').search


class Message(ours.Message):
    """A mail, with Flask-Mail's arguments, attributes and methods.

    As there, ``sender`` is ``MAIL_DEFAULT_SENDER`` unless it is given, and a pair
    becomes a string; and a message that is sent twice has the same Message-ID twice.
    """

    # Each property keeps its value under its own name, where a plain message has it.

    @property
    def sender(self) -> AddressLike | None:
        """Who sends it, as a string."""
        sender: AddressLike | None = vars(self)["sender"]
        return sender

    @sender.setter
    def sender(self, value: AddressLike | None) -> None:
        sender = value or _of_the_app("default_sender")
        if isinstance(sender, list | tuple):
            sender = _as_mailbox(*sender)
        vars(self)["sender"] = sender

    @property
    def subject(self) -> Any:
        """The subject, on one line where it was lawfully folded (RFC 5322, 2.2.3)."""
        return vars(self)["subject"]

    @subject.setter
    def subject(self, value: Any) -> None:
        vars(self)["subject"] = _unfolded(value) if isinstance(value, str) else value

    @property
    def message_id(self) -> str:
        """The Message-ID, made at the first look, on the sender's domain."""
        own: str | None = vars(self)["message_id"]
        if own is None:
            own = vars(self)["message_id"] = (
                f"<{secrets.token_hex(16)}@{_domain(self.sender)}>"
            )
        return own

    @message_id.setter
    def message_id(self, value: str | None) -> None:
        vars(self)["message_id"] = value

    @property
    def msgId(self) -> str:
        """Flask-Mail's name for `message_id`."""
        return self.message_id

    @msgId.setter
    def msgId(self, value: str) -> None:
        self.message_id = value

    def as_bytes(self) -> bytes:
        """The message as it leaves: CRLF lines, and a Message-ID that stays.

        Raises the `MessageError` that sending it would.
        """
        return compose(
            self.rendered(),
            ascii_attachments=bool(_of_the_app("ascii_attachments")),
            unique=self.message_id,
        ).content

    def as_string(self) -> str:
        """`as_bytes` as text."""
        return self.as_bytes().decode()

    __bytes__ = as_bytes
    __str__ = as_string

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

    def send(self, connection: Any) -> Any:
        """``connection.send(self)``."""
        return connection.send(self)


def is_flask_mails(message: object) -> bool:
    """Whether it is Flask-Mail's own, made by a library that imports that."""
    theirs = sys.modules.get("flask_mail")
    return theirs is not None and isinstance(message, theirs.Message)


def adopted(theirs: Any) -> Message:
    """The same message as one of ours; theirs is left as it is."""
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
        message_id=theirs.msgId,
    )


def _of_the_app(setting: str) -> Any:
    """What the state of the app at work says; None outside any."""
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


def _has_line_break(value: object) -> bool:
    text = "".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _line_break(text) is not None
