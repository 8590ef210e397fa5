"""Flask-Mail's names, with the outbox behind them.

In an app that uses Flask-Mail 0.10 change ``from flask_mail import Mail, Message`` into
``from flask_outbox.flask_mail import Mail, Message``, and nothing else. From then on
``mail.send()`` returns once the message is durably kept, and a courier delivers it.
What is different on purpose, and why, is listed in :doc:`/migrating/flask-mail`.
"""

from .errors import BadHeaderError, FlaskMailUnicodeDecodeError, Unaddressed
from .mail import Connection, Mail, State
from .message import Attachment, Message
from .signals import email_dispatched, signals
from .text import force_text, sanitize_address, sanitize_addresses, sanitize_subject

__all__ = [
    "Attachment",
    "BadHeaderError",
    "Connection",
    "FlaskMailUnicodeDecodeError",
    "Mail",
    "Message",
    "State",
    "Unaddressed",
    "email_dispatched",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
    "signals",
]
