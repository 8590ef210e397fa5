"""Flask-Mail's errors, its signal, and its functions for text and addresses.

The errors are also ours, so that code that catches either works. The outbox does not
use the functions: it writes headers itself (`flask_outbox.mime`).
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from email.header import Header
from email.utils import formataddr, parseaddr
from typing import Any

from blinker import Namespace

from ..errors import (
    AddressError,
    AttachmentError,
    HeaderError,
    MessageError,
    OutboxError,
    OutboxUnavailable,
    TemplateError,
)
from ..signals import email_dispatched

NO_MAILBOX, NOT_TAKEN = 553, 554
"""The replies that a server would give (RFC 5321 section 4.2.3)."""


class BadHeaderError(HeaderError):
    """A line break in the subject, the sender, a recipient or the reply-to address."""

    def __init__(
        self,
        field: str = "message",
        problem: str = "has a line break in a header; remove it",
    ) -> None:
        super().__init__(field, problem)


class AddressMissing(AddressError, AssertionError):
    """No sender or no recipient; Flask-Mail raises an assertion."""


class FlaskMailUnicodeDecodeError(UnicodeDecodeError):
    """Bytes that cannot be decoded in the encoding given; ``obj`` is the bytes."""

    def __init__(self, obj: Any, *args: Any) -> None:
        super().__init__(*args)
        self.obj = obj

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"


class RecipientsRefused(AddressError, smtplib.SMTPRecipientsRefused):
    """A recipient's address that every server would refuse."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.recipients: dict[str, tuple[int, bytes]] = {
            field: (NO_MAILBOX, problem.encode())
        }


class SenderRefused(AddressError, smtplib.SMTPSenderRefused):
    """A sender's address that every server would refuse."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code: int = NO_MAILBOX
        self.smtp_error: bytes = problem.encode()
        self.sender = field


class AttachmentRefused(AttachmentError, smtplib.SMTPDataError):
    """An attachment that cannot be read or described."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code: int = NOT_TAKEN
        self.smtp_error: bytes = problem.encode()


class MessageRefused(MessageError, smtplib.SMTPDataError):
    """Any other error of a message that could never be sent."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code: int = NOT_TAKEN
        self.smtp_error: bytes = problem.encode()


class Unavailable(OutboxUnavailable, smtplib.SMTPException):
    """The outbox's database is unavailable: the message was not accepted."""


_THEIRS: tuple[tuple[type[MessageError], type[MessageError]], ...] = (
    (AddressError, RecipientsRefused),
    (HeaderError, BadHeaderError),
    (AttachmentError, AttachmentRefused),
    (MessageError, MessageRefused),
)
_OF_THE_SENDER = ("sender", "From", "MAIL_DEFAULT_SENDER", "return_path")


def as_flask_mail_error(error: MessageError | OutboxUnavailable) -> OutboxError:
    """The same error, as one that is also caught as Flask-Mail's."""
    if isinstance(error, OutboxUnavailable):
        return Unavailable(*error.args, anchor=error.anchor)
    if isinstance(error, AssertionError | BadHeaderError | TemplateError):
        return error
    if isinstance(error, AddressError) and error.field in _OF_THE_SENDER:
        return SenderRefused(error.field, error.problem)
    theirs = next(theirs for ours, theirs in _THEIRS if isinstance(error, ours))
    same = theirs(error.field, error.problem)
    same.anchor = error.anchor
    return same


signals: Namespace = Namespace()
"""Flask-Mail's namespace, which has ``email-dispatched``."""

signals[email_dispatched.name] = email_dispatched


def force_text(s: Any, encoding: str = "utf-8", errors: str = "strict") -> str:
    """``s`` as a string: bytes are decoded, other objects converted.

    Raises `FlaskMailUnicodeDecodeError` for bytes that cannot be decoded.
    """
    if not isinstance(s, bytes):
        return str(s)
    try:
        return s.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise FlaskMailUnicodeDecodeError(s, *error.args) from error


def sanitize_subject(subject: str, encoding: str = "utf-8") -> str:
    """``subject`` as a header value: encoded words unless it is ASCII."""
    return subject if subject.isascii() else _encoded(subject, encoding)


def sanitize_address(addr: str | tuple[str, str], encoding: str = "utf-8") -> str:
    """An address, or a pair of name and address, as a header value."""
    name, spec = addr if isinstance(addr, tuple) else parseaddr(force_text(addr))
    if not spec.isascii():
        local, at, domain = spec.partition("@")
        spec = _encoded(spec, encoding)
        if at:
            local = str(Header(local, encoding))
            spec = f"{local}@{domain.encode('idna').decode('ascii')}"
    return formataddr((_encoded(name, encoding), spec))


def sanitize_addresses(
    addresses: Iterable[str | tuple[str, str]], encoding: str = "utf-8"
) -> list[str]:
    """`sanitize_address` of each."""
    return [sanitize_address(one, encoding) for one in addresses]


def _encoded(text: str, encoding: str) -> str:
    try:
        return Header(text, encoding).encode()
    except UnicodeEncodeError:
        return Header(text, "utf-8").encode()
