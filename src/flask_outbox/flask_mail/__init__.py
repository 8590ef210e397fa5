"""Flask-Mail's names, with the outbox behind them.

In an app that uses Flask-Mail 0.10 change ``from flask_mail import Mail, Message`` into
``from flask_outbox.flask_mail import Mail, Message``, and nothing else. From then on
``mail.send()`` returns once the message is durably kept, and a courier delivers it.
What is different on purpose, and why, is listed in :doc:`/migrating/flask-mail`.
"""

from email.header import Header

from .connection import Connection
from .errors import (
    AttachmentRefused,
    BadHeaderError,
    FlaskMailUnicodeDecodeError,
    MessageRefused,
    RecipientsRefused,
    SenderRefused,
    Unaddressed,
    Unavailable,
)
from .mail import Mail
from .message import Attachment, Message
from .signals import email_dispatched, signals
from .state import State, _MailMixin
from .text import force_text, sanitize_address, sanitize_addresses, sanitize_subject

__all__ = [
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
    "Unaddressed",
    "Unavailable",
    "_MailMixin",
    "email_dispatched",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
    "signals",
]
