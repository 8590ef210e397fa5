"""What Flask-Mail raises, as errors of Flask-Outbox: code that catches either works."""

from __future__ import annotations

import smtplib
from typing import Any

from ..errors import (
    AddressError,
    AttachmentError,
    HeaderError,
    MessageError,
    OutboxError,
    OutboxUnavailable,
    TemplateError,
)

NO_MAILBOX, NOT_TAKEN = 553, 554
"""What a server would say (RFC 5321, 4.2.3)."""


class BadHeaderError(HeaderError):
    """A line break in the subject, the sender, a recipient or the reply-to address."""

    def __init__(
        self,
        field: str = "message",
        problem: str = "has a line break in a header; remove it",
    ) -> None:
        super().__init__(field, problem)


class Unaddressed(AddressError, AssertionError):
    """No sender, or nobody to send to, for which Flask-Mail has an assertion."""


class FlaskMailUnicodeDecodeError(UnicodeDecodeError):
    """Bytes that are no text in the encoding asked for; ``obj`` is what was passed."""

    def __init__(self, obj: Any, *args: Any) -> None:
        super().__init__(*args)
        self.obj = obj

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"


class RecipientsRefused(AddressError, smtplib.SMTPRecipientsRefused):
    """An address to send to that no server would take."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.recipients = {field: (NO_MAILBOX, problem.encode())}


class SenderRefused(AddressError, smtplib.SMTPSenderRefused):
    """A sender that no server would take."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code = NO_MAILBOX
        self.smtp_error = problem.encode()
        self.sender = field


class AttachmentRefused(AttachmentError, smtplib.SMTPDataError):
    """An attachment that cannot be read or described."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code, self.smtp_error = NOT_TAKEN, problem.encode()


class MessageRefused(MessageError, smtplib.SMTPDataError):
    """Anything else about a message that could never be sent."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.smtp_code, self.smtp_error = NOT_TAKEN, problem.encode()


class Unavailable(OutboxUnavailable, smtplib.SMTPException):
    """The outbox's database did not answer: the message was not accepted."""


_THEIRS: tuple[tuple[type[MessageError], type[MessageError]], ...] = (
    (AddressError, RecipientsRefused),
    (HeaderError, BadHeaderError),
    (AttachmentError, AttachmentRefused),
    (MessageError, MessageRefused),
)
_OF_THE_SENDER = ("sender", "From", "MAIL_DEFAULT_SENDER", "return_path")


def told_as_theirs(error: MessageError | OutboxUnavailable) -> OutboxError:
    """The same error, as one that is caught around Flask-Mail's ``send`` too."""
    if isinstance(error, OutboxUnavailable):
        return Unavailable(*error.args)
    if isinstance(error, AssertionError | BadHeaderError | TemplateError):
        return error
    if isinstance(error, AddressError) and error.field in _OF_THE_SENDER:
        return SenderRefused(error.field, error.problem)
    theirs = next(theirs for ours, theirs in _THEIRS if isinstance(error, ours))
    return theirs(error.field, error.problem)
