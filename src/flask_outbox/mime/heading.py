"""The headers at the top of a message, and the envelope that follows from them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import floor

from ..characters import shown
from ..delivery import Envelope
from ..errors import AddressError, HeaderError, MessageError
from ..message import Address, AddressLike, Message, comparable
from ..message.addresses import DOT_ATOM
from ..message.mailboxes import read_mailboxes
from .headers import address_list, extra, free_text, header_name, one_line, unstructured

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
class Heading:
    """Who, to whom, about what and when: all of it checked before it gets here."""

    sender: Address
    to: list[Address]
    cc: list[Address]
    bcc: list[Address]
    reply_to: list[Address]
    subject: str
    date: str
    message_id: str = ""
    extra_lines: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, name: object, value: object, field: str) -> None:
        """Take one more header, or refuse it with the reason."""
        name = header_name(name, field)
        key = name.lower()
        if advice := _ASK_INSTEAD.get(key):
            raise HeaderError(field, f"is written by Flask-Outbox; {advice}")
        if key in _ONCE and key in self._seen:
            raise HeaderError(field, "may stand only once; remove the other")
        self._seen.add(key)
        if key == "message-id":
            self.message_id = message_id(value, field)
        elif key == "reply-to":
            self._reply_to(read_mailboxes(free_text(value, field), field), field)
        elif key in _MAILBOX | _MAILBOXES:
            mailboxes = read_mailboxes(free_text(value, field), field)
            if key in _MAILBOX and len(mailboxes) != 1:
                raise AddressError(field, "takes one address; leave one")
            if mailboxes:
                self.extra_lines.append(address_list(name, mailboxes))
        else:
            self.extra_lines.append(extra(name, value, field))

    def _reply_to(self, mailboxes: list[Address], field: str) -> None:
        if self.reply_to:
            raise HeaderError(field, "is given twice; leave out this or reply_to=")
        self.reply_to = mailboxes

    def identify(self, unique: str) -> None:
        """Have a Message-ID: the given one, or ``unique`` on the sender's domain."""
        if not self.message_id:
            self.message_id = message_id(f"<{unique}@{self.sender.domain}>", "unique")

    def write(self) -> str:
        """The header lines, each once and never a Bcc (RFC 5322 section 3.6).

        Nothing in them is beyond ASCII but local parts that are (RFC 6532).
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
        lines.append(f"Date: {self.date}\r\nMessage-ID: {self.message_id}\r\n")
        lines += self.extra_lines
        lines.append("MIME-Version: 1.0\r\n")
        return "".join(lines)

    def envelope(
        self,
        utf8_headers: bool,
        mail_options: tuple[str, ...],
        rcpt_options: tuple[str, ...],
    ) -> Envelope:
        """Every mailbox once, in the order to, cc, bcc; somebody there must be."""
        everyone: dict[str, str] = {}
        for some in (self.to, self.cc, self.bcc):
            for one in some:
                everyone.setdefault(comparable(one.spec), one.spec)
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


def heading_of(
    message: Message,
    unique: str,
    default_sender: AddressLike | None,
    now: float | None,
) -> Heading:
    """Read and check everything of ``message`` that stands above its parts."""
    heading = Heading(
        sender=sender_or_default(message.sender, default_sender),
        to=Address.parse_all(message.recipients, "recipients"),
        cc=Address.parse_all(message.cc, "cc"),
        bcc=Address.parse_all(message.bcc, "bcc"),
        reply_to=_reply_to(message),
        subject=_subject(message),
        date=written_date(message.date, now),
    )
    if message.message_id:
        heading.message_id = message_id(message.message_id, "message_id")
    for name, value in (message.extra_headers or {}).items():
        heading.add(name, value, f"extra_headers[{shown(name)}]")
    heading.identify(unique)
    return heading


def holds_addresses(name: str) -> bool:
    """Whether a header that the user names is one of addresses."""
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


def _subject(message: Message) -> str:
    return "" if message.subject is None else free_text(message.subject, "subject")


def _reply_to(message: Message) -> list[Address]:
    reply_to = message.reply_to
    if not reply_to:
        return []
    if isinstance(reply_to, str | tuple | Address):
        return [Address.parse(reply_to, "reply_to")]
    return Address.parse_all(reply_to, "reply_to")


def message_id(value: object, field: str) -> str:
    """``value``, with the promise that it is a msg-id (RFC 5322 section 3.6.4)."""
    text = one_line(value, field).strip(" ")
    if not _is_message_id(text) or len(text) > _LONGEST_MESSAGE_ID:
        raise HeaderError(
            field,
            f"{shown(text)} is no message id; write '<unique@example.org>', with the"
            " angle brackets",
        )
    return text


def esmtp_options(options: object, field: str) -> tuple[str, ...]:
    """``options``, each of them KEYWORD or KEYWORD=value (RFC 5321 section 4.1.2)."""
    if not options:
        return ()
    if not isinstance(options, list | tuple):
        raise MessageError(
            field, f"{shown(options)} is no list; pass a list of strings"
        )
    checked = tuple(options)
    for index, option in enumerate(checked):
        if not isinstance(option, str) or not _is_option(option):
            raise MessageError(
                f"{field}[{index}]",
                f"{shown(option)} is no ESMTP parameter; write it as 'KEYWORD' or"
                " 'KEYWORD=value'",
            )
    return checked


def written_date(date: float | datetime | None, now: float | None) -> str:
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
        return _written_in_utc(floor(date))
    except (OverflowError, OSError, TypeError, ValueError) as error:
        raise MessageError(
            "date",
            f"{shown(date)} cannot be written; pass seconds since the epoch or an aware"
            " datetime of the years 1900 to 9999",
        ) from error


@lru_cache(maxsize=16)
def _written_in_utc(second: int) -> str:
    return _written(time.gmtime(second), "+0000")


def _in_whole_minutes(date: datetime) -> datetime:
    """The same instant with an offset that mail can say."""
    return date.astimezone(UTC) if len(f"{date:%z}") > len("+0000") else date


def _written(at: time.struct_time, zone: str) -> str:
    if not 1900 <= at.tm_year <= 9999:
        raise ValueError(f"year {at.tm_year}")
    weekday, month = _WEEKDAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return (
        f"{weekday}, {at.tm_mday:02} {month} {at.tm_year}"
        f" {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} {zone}"
    )
