"""Flask-Mail's `Message` and `Attachment`: ours, with what only Flask-Mail's have."""

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

from .. import message as ours
from ..errors import AddressError, MessageError
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

    in_flask_mails_form = True

    def as_bytes(self) -> bytes:
        """The message as it leaves: CRLF lines, and a Message-ID that stays.

        What keeps it from being sent, `send` says: here it is left out. What a subclass
        makes of this leaves in its place, byte for byte.
        """
        if type(self)._message is not Message._message:
            return self._message().as_bytes(policy=SMTP)
        return self._written()

    def _message(self) -> StandardMessage:
        """The same for the standard library, for subclasses that change it."""
        return message_from_bytes(self._written(), policy=SMTP)

    def _written(self) -> bytes:
        for one in (self, self._tidy()):
            try:
                return compose(
                    one.rendered(),
                    ascii_attachments=bool(_of_the_app("ascii_attachments")),
                    unique=self.message_id,
                    as_it_writes_itself=False,
                ).content
            except MessageError:
                continue
        return self._outline()

    def _tidy(self) -> Self:
        """A copy with what can be made of its addresses, as Flask-Mail writes them."""
        one = copy.copy(self)
        vars(one)["sender"] = _tidy(self.sender)
        vars(one)["subject"] = _on_one_line(self.subject or "")
        for name in ("recipients", "cc", "bcc"):
            setattr(one, name, [_tidy(address) for address in getattr(self, name)])
        if self.reply_to and not isinstance(self.reply_to, list):
            one.reply_to = _tidy(self.reply_to)
        return one

    def _outline(self) -> bytes:
        """What it says, for people: it could not be sent."""
        names = ("Subject", "From", "To", "Cc", "Message-ID")
        values = (self.subject, self.sender, self.recipients, self.cc, self.message_id)
        pairs = zip(names, map(_on_one_line, values), strict=True)
        head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        return f"{head}\r\n{self.body or ''}".encode(errors="replace")

    @property
    def writes_itself(self) -> bool:
        """Whether a subclass writes the message, with what `as_bytes` answers."""
        own = type(self)
        return (
            own.as_bytes is not Message.as_bytes or own._message is not Message._message
        )

    def own_content(self) -> bytes | None:
        """What leaves in place of what is composed; None where that is ours."""
        return self.as_bytes() if self.writes_itself else None

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

    def send(self, connection: Any, **wishes: Any) -> Any:
        """``connection.send(self)``."""
        return connection.send(self, **wishes)


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


def _tidy(address: Any) -> AddressLike | None:
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
