"""All headers of a message, such as Date and Message-ID, and the envelope made from
them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import floor

from ..delivery import Envelope
from ..errors import AddressError, HeaderError, MessageError
from ..message import Address, AddressLike, Message, comparable
from ..message.addresses import DOT_ATOM
from ..message.mailboxes import read_mailboxes
from ..message.text import shown
from .header_syntax import (
    address_list,
    extra,
    free_text,
    header_name,
    one_line,
    unstructured,
)

_is_message_id = re.compile(rf"<{DOT_ATOM}@(?:{DOT_ATOM}|\[[!-Z^-~]*\])>").fullmatch
_is_option = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~]+)?").fullmatch

_LONGEST_MESSAGE_ID = 900

_ASK_INSTEAD = {
    "from": "pass sender=",
    "to": "pass recipients=",
    "cc": "pass cc=",
    "bcc": "pass bcc=",
    "subject": "pass subject=",
    "date": "pass date=",
    "mime-version": "leave it out",
    "content-type": "leave it out, and pass charset=, html= or alts=",
    "content-transfer-encoding": "leave it out",
    "return-path": "leave it out, and pass return_path= to send()",
}
_MAILBOX = {"sender", "disposition-notification-to", "errors-to"}
_MAILBOXES = {
    *("mail-followup-to", "mail-reply-to", "return-receipt-to", "x-confirm-reading-to"),
    *("resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc"),
}
_ONCE = {
    *("message-id", "references", "in-reply-to", "list-unsubscribe"),
    *("reply-to", "mail-followup-to", "mail-reply-to", *_MAILBOX),
}

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


@dataclass(slots=True)
class Headers:
    """The headers of one message; their values are already checked."""

    sender: Address
    to: list[Address]
    cc: list[Address]
    bcc: list[Address]
    reply_to: list[Address]
    subject: str
    date: str
    rfc_message_id: str = ""
    extra_lines: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, name: object, value: object, field: str) -> None:
        """Add a header, or raise with the reason why it is not allowed."""
        name = header_name(name, field)
        key = name.lower()
        if advice := _ASK_INSTEAD.get(key):
            raise HeaderError(field, f"is written by Flask-Outbox; {advice}")
        if key in _ONCE and key in self._seen:
            raise HeaderError(field, "is allowed only once; remove the other")
        self._seen.add(key)
        if key == "message-id":
            self.rfc_message_id = check_rfc_message_id(value, field)
        elif key == "reply-to":
            self._reply_to(read_mailboxes(free_text(value, field), field), field)
        elif key in _MAILBOX | _MAILBOXES:
            mailboxes = read_mailboxes(free_text(value, field), field)
            if key in _MAILBOX and len(mailboxes) != 1:
                raise AddressError(field, "takes one address; keep one")
            if mailboxes:
                self.extra_lines.append(address_list(name, mailboxes))
        else:
            self.extra_lines.append(extra(name, value, field))

    def _reply_to(self, mailboxes: list[Address], field: str) -> None:
        if self.reply_to:
            raise HeaderError(field, "is given twice; leave out this or reply_to=")
        self.reply_to = mailboxes

    def identify(self, unique: str) -> None:
        """Make a Message-ID if there is none: ``unique`` at the sender's domain."""
        if not self.rfc_message_id:
            made = f"<{unique}@{self.sender.domain}>"
            if not _is_message_id(made):
                made = check_rfc_message_id(made, "unique")
            self.rfc_message_id = made

    def write(self) -> str:
        """The header lines, each header once and no Bcc (RFC 5322 section 3.6).

        Only local parts may contain anything but ASCII (RFC 6532).
        """
        lines = [_from(self.sender)]
        if self.to:
            lines.append(address_list("To", self.to))
        if self.cc:
            lines.append(address_list("Cc", self.cc))
        if not self.to and not self.cc:
            lines.append("To: undisclosed-recipients:;\r\n")
        if self.reply_to:
            lines.append(address_list("Reply-To", self.reply_to))
        if self.subject:
            lines.append(unstructured("Subject", self.subject))
        lines.append(f"Date: {self.date}\r\nMessage-ID: {self.rfc_message_id}\r\n")
        lines += self.extra_lines
        lines.append("MIME-Version: 1.0\r\n")
        return "".join(lines)

    def envelope(
        self,
        utf8_headers: bool,
        mail_options: tuple[str, ...],
        rcpt_options: tuple[str, ...],
    ) -> Envelope:
        """The envelope, with every mailbox once, in the order to, cc, bcc.

        Raises `AddressError` if there is no recipient.
        """
        everyone: dict[str, str] = {}
        for some in (self.to, self.cc, self.bcc):
            for address in some:
                spec = address.spec
                everyone.setdefault(comparable(spec), spec)
        if not everyone:
            raise AddressError(
                "recipients", "the message has none; pass recipients=, cc= or bcc="
            )
        return Envelope(
            self.sender.spec,
            tuple(everyone.values()),
            utf8_headers,
            mail_options,
            rcpt_options,
        )


def headers_of(
    message: Message,
    unique: str,
    default_sender: AddressLike | None,
    now: float | None,
) -> Headers:
    """The headers of ``message``, checked. Raises `MessageError`."""
    headers = Headers(
        sender=sender_or_default(message.sender, default_sender),
        to=Address.parse_all(message.recipients, "recipients"),
        cc=Address.parse_all(message.cc, "cc") if message.cc else [],
        bcc=Address.parse_all(message.bcc, "bcc") if message.bcc else [],
        reply_to=_reply_to(message.reply_to) if message.reply_to else [],
        subject=""
        if message.subject is None
        else free_text(message.subject, "subject"),
        date=format_date(message.date, now),
    )
    if message.rfc_message_id:
        headers.rfc_message_id = check_rfc_message_id(
            message.rfc_message_id, "rfc_message_id"
        )
    for name, value in (message.extra_headers or {}).items():
        headers.add(name, value, f"extra_headers[{shown(name)}]")
    headers.identify(unique)
    return headers


def holds_addresses(name: str) -> bool:
    """Whether a header that the user names contains addresses."""
    return name.lower() in {"reply-to", *_MAILBOX, *_MAILBOXES}


def sender_or_default(
    sender: AddressLike | None, default_sender: AddressLike | None
) -> Address:
    """The message's own sender, else the configured one."""
    if sender:
        return Address.parse(sender, "sender")
    if default_sender:
        return Address.parse(default_sender, "MAIL_DEFAULT_SENDER")
    raise AddressError("sender", "is missing; pass sender= or set MAIL_DEFAULT_SENDER")


@lru_cache(maxsize=256)
def _from(sender: Address) -> str:
    return address_list("From", [sender])


def _reply_to(reply_to: AddressLike | list[AddressLike]) -> list[Address]:
    if isinstance(reply_to, str | tuple | Address):
        return [Address.parse(reply_to, "reply_to")]
    return Address.parse_all(reply_to, "reply_to")


def check_rfc_message_id(value: object, field: str) -> str:
    """``value``, checked to be a msg-id (RFC 5322 section 3.6.4)."""
    text = one_line(value, field).strip(" ")
    if not _is_message_id(text) or len(text) > _LONGEST_MESSAGE_ID:
        raise HeaderError(
            field,
            f"{shown(text)} is not a Message-ID; write '<unique@example.org>', with the"
            " angle brackets",
        )
    return text


def esmtp_options(options: object, field: str) -> tuple[str, ...]:
    """``options``, each KEYWORD or KEYWORD=value (RFC 5321 section 4.1.2)."""
    if not isinstance(options, list | tuple):
        raise MessageError(
            field, f"{shown(options)} is not a list; pass a list of strings"
        )
    checked = tuple(options)
    for index, option in enumerate(checked):
        if not isinstance(option, str) or not _is_option(option):
            raise MessageError(
                f"{field}[{index}]",
                f"{shown(option)} is not an ESMTP parameter; write it as 'KEYWORD' or"
                " 'KEYWORD=value'",
            )
    return checked


def format_date(date: float | datetime | None, now: float | None) -> str:
    """The date as RFC 5322 section 3.3 writes it, in UTC unless ``date`` has a zone."""
    if date is None:
        date = time.time() if now is None else now
    if isinstance(date, datetime) and date.utcoffset() is None:
        raise MessageError(
            "date", f"{shown(date)} has no time zone; use datetime.now(UTC), for one"
        )
    try:
        if isinstance(date, datetime):
            date = _in_whole_minutes(date)
            return _written(date.timetuple(), f"{date:%z}")
        return _format_in_utc(floor(date))
    except (OverflowError, OSError, TypeError, ValueError) as error:
        raise MessageError(
            "date",
            f"{shown(date)} cannot be written; pass seconds since the epoch or an aware"
            " datetime of the years 1900 to 9999",
        ) from error


@lru_cache(maxsize=16)
def _format_in_utc(second: int) -> str:
    return _written(time.gmtime(second), "+0000")


def _in_whole_minutes(date: datetime) -> datetime:
    """The same instant, with an offset in whole minutes, as mail requires."""
    return date.astimezone(UTC) if len(f"{date:%z}") > len("+0000") else date


def _written(at: time.struct_time, zone: str) -> str:
    if not 1900 <= at.tm_year <= 9999:
        raise ValueError(f"year {at.tm_year}")
    weekday, month = _WEEKDAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return (
        f"{weekday}, {at.tm_mday:02} {month} {at.tm_year}"
        f" {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} {zone}"
    )


_IDENTITY = re.compile(
    rb"^Date: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n"
    rb"Message-ID: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n",
    re.MULTILINE | re.IGNORECASE,
)
"""The two headers, as `Headers` writes them."""


def with_new_identity(content: bytes, rfc_message_id: str, now: float) -> bytes:
    """``content`` with a new Message-ID and date.

    With the old ones, mailboxes would treat it as a duplicate and hide it.
    """
    headers, blank, rest = content.partition(b"\r\n\r\n")
    fresh = (
        f"Date: {format_date(None, now)}\r\nMessage-ID: {rfc_message_id}\r\n".encode()
    )
    fresh_headers = _IDENTITY.sub(lambda _: fresh, headers + b"\r\n", count=1)
    return fresh_headers.removesuffix(b"\r\n") + blank + rest


def redirected(content: bytes, recipients: Iterable[str]) -> bytes:
    """``content`` with an X-Original-To header for each original recipient.

    The existing bytes do not change, so DKIM signatures stay valid.
    """
    lines = [unstructured("X-Original-To", one) for one in recipients]
    return "".join(lines).encode() + content
