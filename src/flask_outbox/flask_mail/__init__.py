"""Flask-Mail's API on top of the outbox.

In an app that uses Flask-Mail 0.10, change ``from flask_mail import Mail, Message`` to
``from flask_outbox.flask_mail import Mail, Message``, and nothing else. From then on
``mail.send()`` returns once the message is durably stored, and a courier delivers it.
:doc:`/migrating/flask-mail` lists the intended differences, with reasons.
"""

from email.header import Header

from ..signals import email_dispatched
from .compat import (
    AddressMissing,
    AttachmentRefused,
    BadHeaderError,
    FlaskMailUnicodeDecodeError,
    MessageRefused,
    RecipientsRefused,
    SenderRefused,
    Unavailable,
    force_text,
    sanitize_address,
    sanitize_addresses,
    sanitize_subject,
    signals,
)
from .mail import Connection, Mail, State, _MailMixin
from .message import Attachment, Message

__all__ = [
    "AddressMissing",
    "Attachment",
    "AttachmentRefused",
    "BadHeaderError",
    "Connection",
    "FlaskMailUnicodeDecodeError",
    "Header",
    "Mail",
    "Message",
    "MessageRefused",
    "RecipientsRefused",
    "SenderRefused",
    "State",
    "Unavailable",
    "_MailMixin",
    "email_dispatched",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
    "signals",
]
