"""`compose`: a message as the bytes and the envelope that a transport takes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage

from ..delivery import Envelope
from ..errors import MessageError
from ..message import Address, AddressLike, Message
from ..message.text import shown
from .headers import esmtp_options, headers_of
from .parts import parts_of
from .stdlib import headers_and_parts_of, own_bytes


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready to send; every attempt sends exactly these bytes."""

    envelope: Envelope
    rfc_message_id: str
    subject: str
    content: bytes


def compose(
    message: Message | StandardMessage,
    *,
    default_sender: AddressLike | None = None,
    ascii_attachments: bool = False,
    now: float | None = None,
    unique: str | None = None,
    return_path: AddressLike | None = None,
    as_it_writes_itself: bool = True,
) -> Composed:
    """Check the whole ``message`` and write it (RFC 5322, RFC 2045 to 2047, RFC 2231).

    The content consists of CRLF lines of at most 998 octets without NUL. It is ASCII,
    unless a header has an address that needs SMTPUTF8. It has one From, Date and
    Message-ID, and no Bcc; no value can inject a header, a recipient or a part. The
    Message-ID begins with ``unique``, and all boundaries are derived from it: with the
    same ``unique`` and ``now``, the same message gives the same bytes. Bounces go to
    ``return_path``, else to the sender.

    A message that writes itself (`Message.own_content`) is sent with its own bytes,
    unless ``as_it_writes_itself`` is false. Both the message and these bytes are
    checked.

    ``message`` is not changed. Raises a `MessageError` that names the faulty field.
    """
    unique = unique or secrets.token_hex(16)
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()
    if isinstance(message, Message):
        if message.template is not None:
            raise MessageError("template", "is still to be rendered; use rendered()")
        headers = headers_of(message, unique, default_sender, now)
        parts = parts_of(message, unique, ascii_attachments)
        if message.mail_options:
            mail_options = esmtp_options(message.mail_options, "mail_options")
        if message.rcpt_options:
            rcpt_options = esmtp_options(message.rcpt_options, "rcpt_options")
    elif isinstance(message, StandardMessage):
        headers, parts = headers_and_parts_of(message, unique, default_sender, now)
    else:
        raise MessageError("message", f"is {shown(message)}; {_what_to_write(message)}")
    head = headers.write()
    envelope = headers.envelope(not head.isascii(), mail_options, rcpt_options)
    ending = b"" if parts[-1][-2:] in (b"", b"\r\n") else b"\r\n"
    if return_path:
        bounces_to = Address.parse(return_path, "return_path")
        envelope = replace(envelope, return_path=bounces_to.spec)
    content = b"".join([head.encode(), *parts, ending])
    rfc_message_id = headers.rfc_message_id
    if as_it_writes_itself and isinstance(message, Message):
        own = message.own_content()
        if own is not None:
            content, rfc_message_id = own_bytes(own, rfc_message_id)
    return Composed(envelope, rfc_message_id, headers.subject, content)


def _what_to_write(message: object) -> str:
    if isinstance(message, list | tuple):
        return "send many with mail.send_many(messages), or one with mail.send(message)"
    return "pass a Message or an EmailMessage"
