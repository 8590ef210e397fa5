"""Messages of the standard library's `email` package, under the same promises.

The headers at the top are read and then written anew by the same code as every other
message's; the parts are written by the standard library and checked on the wire.
"""

from __future__ import annotations

from datetime import UTC
from email.message import Message as StandardMessage
from email.utils import parsedate_to_datetime
from typing import Any

from ..characters import barred, shown
from ..errors import AddressError, HeaderError, MessageError
from ..message import Address, AddressLike
from ..message.mailboxes import read_mailboxes
from .adopted_parts import parts_written
from .header_sources import parsed, source, unfolded
from .headers import free_text, has_own_syntax, header_name
from .heading import Heading, holds_addresses, sender_or_default, written_date
from .parts import Part

_READ_HERE = {"from", "to", "cc", "bcc", "reply-to", "subject", "date"}
_LEFT_OUT = {"mime-version", "resent-bcc"}


def adopt(
    message: StandardMessage,
    unique: str,
    default_sender: AddressLike | None,
    now: float | None,
) -> tuple[Heading, Part]:
    """The heading of ``message`` and what stands below it; it is read, not changed."""
    try:
        _check_every_header(message)
        heading = _heading(message, default_sender, now)
        heading.identify(unique)
        return heading, [parts_written(message, unique)]
    except MessageError:
        raise
    except Exception as error:  # the email package raises whatever its parsers meet
        raise MessageError("message", f"cannot be read as it is: {error!r}") from error


def _check_every_header(message: StandardMessage) -> None:
    """Refuse what a lax policy let in, in any part: as written, and as decoded."""
    for number, part in enumerate(message.walk()):
        for name, value in part.raw_items():
            field = f"part {number}, {name}" if number else str(name)
            header_name(name, field)
            for text in (unfolded(value), _decoded(name, value)):
                if place := barred(text.replace("\t", " ")):
                    raise HeaderError(
                        field, f"{shown(text)} has {place}; remove that character"
                    )


def _heading(
    message: StandardMessage, default_sender: AddressLike | None, now: float | None
) -> Heading:
    heading = Heading(
        sender=_sender(message, default_sender),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        bcc=_addresses(message, "Bcc"),
        reply_to=_addresses(message, "Reply-To"),
        subject=free_text(
            _decoded("Subject", _only(message, "Subject") or ""), "Subject"
        ),
        date=_date(message, now),
    )
    for name, value in message.raw_items():
        key = name.lower()
        if key not in _READ_HERE | _LEFT_OUT and not key.startswith("content-"):
            as_written = has_own_syntax(name) or holds_addresses(name)
            text = source(name, value) if as_written else _decoded(name, value)
            heading.add(name, text, name)
    return heading


def _sender(message: StandardMessage, default_sender: AddressLike | None) -> Address:
    senders = _addresses(message, "From")
    if len(senders) > 1:
        raise AddressError("From", "holds several addresses; leave one")
    return senders[0] if senders else sender_or_default(None, default_sender)


def _date(message: StandardMessage, now: float | None) -> str:
    text = unfolded(_only(message, "Date") or "")
    if not text:
        return written_date(None, now)
    try:
        date = parsedate_to_datetime(text)
    except ValueError as error:
        raise HeaderError(
            "Date", f"{shown(text)} is no date; use email.utils.format_datetime()"
        ) from error
    return written_date(date if date.tzinfo else date.replace(tzinfo=UTC), now)


def _addresses(message: StandardMessage, name: str) -> list[Address]:
    value = _only(message, name)
    if value is None:
        return []
    return read_mailboxes(source(name, value), name)


def _only(message: StandardMessage, name: str) -> Any:
    """The value of a header that may stand only once."""
    wanted = name.lower()
    values = [value for key, value in message.raw_items() if key.lower() == wanted]
    if len(values) > 1:
        raise HeaderError(name, "may stand only once; put everything into one")
    return values[0] if values else None


def _decoded(name: str, value: Any) -> str:
    return str(parsed(name, value))
