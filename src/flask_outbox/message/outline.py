"""A message without its content, for those who may know only that it was sent."""

from __future__ import annotations

import copy
from email.message import EmailMessage
from email.message import Message as StandardMessage

from .message import Message

_HEADERS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id"}
)

_FIELDS = frozenset(
    {
        *("recipients", "cc", "bcc", "sender", "reply_to", "date", "charset"),
        *("mail_options", "rcpt_options", "rfc_message_id"),
    }
)


def outline(
    message: Message | StandardMessage, subject: str
) -> Message | StandardMessage:
    """A message of the same kind that says who mails whom and when, and nothing else.

    It has this ``subject``.
    """
    if isinstance(message, StandardMessage):
        return _standard_outline(message, subject)
    new = copy.copy(message)
    for name in vars(new).keys() - _FIELDS:
        del vars(new)[name]
    new.subject = subject
    new.body = new.template = None
    new.alts, new.attachments, new.extra_headers = {}, [], {}
    return new


def _standard_outline(message: StandardMessage, subject: str) -> StandardMessage:
    kind = EmailMessage if isinstance(message, EmailMessage) else StandardMessage
    new = kind(policy=message.policy)
    for name, value in message.items():
        if name.lower() in _HEADERS:
            new[name] = value
    new["Subject"] = subject
    return new
