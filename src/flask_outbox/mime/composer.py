"""`compose`: one message as the bytes and the envelope that a transport takes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage

from ..characters import shown
from ..delivery import Envelope
from ..errors import MessageError
from ..message import Address, AddressLike, Message
from .adopted import adopt
from .finished import own_form
from .heading import esmtp_options, heading_of
from .parts import parts_of


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready to leave: it is sent, and sent again, as these very bytes."""

    envelope: Envelope
    message_id: str
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
    """Check ``message`` as a whole and write it (RFC 5322, RFC 2045 to 2047, RFC 2231).

    The content is CRLF lines of at most 998 octets without NUL, and ASCII throughout
    unless a header holds an address that takes SMTPUTF8. It has one From, Date and
    Message-ID and no Bcc, and no text of anyone's can add a header, a recipient or a
    part. ``unique`` is what the Message-ID begins with and all boundaries follow from:
    with it and ``now`` given, the same message gives the same bytes. Bounces go to
    ``return_path``, else to the sender.

    A message that writes itself (`Message.own_content`) leaves as it does, unless
    ``as_it_writes_itself`` is false: all the same is checked, and its bytes are.

    The message is left as it is. Raises a `MessageError` that names the field at fault.
    """
    unique = unique or secrets.token_hex(16)
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()
    if isinstance(message, Message):
        if message.template is not None:
            raise MessageError("template", "is still to be rendered; use rendered()")
        heading = heading_of(message, unique, default_sender, now)
        parts = parts_of(message, unique, ascii_attachments)
        mail_options = esmtp_options(message.mail_options, "mail_options")
        rcpt_options = esmtp_options(message.rcpt_options, "rcpt_options")
    elif isinstance(message, StandardMessage):
        heading, parts = adopt(message, unique, default_sender, now)
    else:
        raise MessageError("message", f"is {shown(message)}; {_what_to_write(message)}")
    head = heading.write()
    envelope = heading.envelope(not head.isascii(), mail_options, rcpt_options)
    ending = b"" if parts[-1][-2:] in (b"", b"\r\n") else b"\r\n"
    if return_path:
        bounces_to = Address.parse(return_path, "return_path")
        envelope = replace(envelope, return_path=bounces_to.spec)
    content = b"".join([head.encode(), *parts, ending])
    message_id = heading.message_id
    if as_it_writes_itself and isinstance(message, Message):
        own = message.own_content()
        if own is not None:
            content, message_id = own_form(own, message_id)
    return Composed(envelope, message_id, heading.subject, content)


def _what_to_write(message: object) -> str:
    if isinstance(message, list | tuple):
        return "send many with mail.send_many(messages), or one with mail.send(message)"
    return "pass a Message or an EmailMessage"
