"""Serializes a message that is still to be rendered.

The result is JSON, and separately the bytes of its attachments, which many messages may
share.
"""

from __future__ import annotations

import json
from base64 import decodebytes, encodebytes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .addresses import Address, AddressLike
from .attachment import Attachment
from .message import Message, Template

Values = dict[str, Any]

_BEGIN, _END = b"\r\n\r\n", b"\r\n--"
"""What surrounds each enclosure, as around a MIME part: it lets the outbox find large
attachments and store them once.
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A serialized message that is still to be rendered."""

    text: str
    """Everything but the attachments, as JSON."""
    enclosures: bytes
    """The attachments, as base64."""


def store(
    message: Message, sender: AddressLike | None, rfc_message_id: str, now: float
) -> Stored:
    """Serialize ``message``, which was checked, with this id.

    ``sender`` and ``now`` are used if the message has no sender or no date.
    """
    template = message.template
    assert template is not None
    values: Values = {
        "template": template.name,
        "context": template.context,
        "locale": template.locale,
        "subject": None if message.subject is None else str(message.subject),
        "sender": _address(message.sender or sender or ""),
        "recipients": _addresses(message.recipients),
        "cc": _addresses(message.cc),
        "bcc": _addresses(message.bcc),
        "reply_to": _reply_to(message),
        "alts": {kind: str(text) for kind, text in message.alts.items()},
        "attachments": [_attachment(one) for one in message.attachments],
        "date": _date(now if message.date is None else message.date),
        "charset": message.charset,
        "extra_headers": _without_message_id(message.extra_headers),
        "rfc_message_id": rfc_message_id,
        "mail_options": message.mail_options,
        "rcpt_options": message.rcpt_options,
    }
    enclosures = b"".join(_enclosure(one) for one in message.attachments)
    return Stored(_written(values), enclosures)


def restore(stored: Stored) -> Message:
    """The message that was given to `store`, with its template not yet rendered."""
    values: Values = json.loads(stored.text)
    attachments = zip(values["attachments"], _contents(stored.enclosures), strict=True)
    message = Message(
        subject=values["subject"],
        recipients=_read_addresses(values["recipients"]),
        alts=values["alts"],
        sender=_read_address(values["sender"]),
        cc=_read_addresses(values["cc"]),
        bcc=_read_addresses(values["bcc"]),
        attachments=[_read_attachment(*one) for one in attachments],
        reply_to=_read_addresses(values["reply_to"]),
        date=_read_date(values["date"]),
        charset=values["charset"],
        extra_headers=values["extra_headers"],
        mail_options=values["mail_options"],
        rcpt_options=values["rcpt_options"],
        rfc_message_id=values["rfc_message_id"],
    )
    message.template = _template(values)
    return message


def template_of(text: str) -> Template:
    """The template in the JSON of a stored message."""
    return _template(json.loads(text))


def _template(values: Values) -> Template:
    return Template(values["template"], values["context"], values["locale"])


def with_new_identity(text: str, rfc_message_id: str, now: float) -> str:
    """The JSON of the same message with a new identity and date."""
    values: Values = json.loads(text)
    return _written({**values, "rfc_message_id": rfc_message_id, "date": now})


def _written(values: Values) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _without_message_id(headers: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in headers.items()
        if name.lower() != "message-id"
    }


def _address(value: AddressLike) -> Any:
    if isinstance(value, Address):
        return [value.display_name, value.spec]
    return str(value) if isinstance(value, str) else [str(part) for part in value]


def _reply_to(message: Message) -> list[Any]:
    reply_to = message.reply_to
    if isinstance(reply_to, str | tuple | Address):
        return [_address(reply_to)] if reply_to else []
    return _addresses(reply_to or ())


def _addresses(values: Iterable[AddressLike]) -> list[Any]:
    return [_address(value) for value in values]


def _read_address(value: Any) -> AddressLike:
    if isinstance(value, str):
        return value
    name, address = value
    return name, address


def _read_addresses(values: Iterable[Any]) -> list[AddressLike]:
    return [_read_address(value) for value in values]


def _date(date: float | datetime) -> float | str:
    return date.isoformat() if isinstance(date, datetime) else date


def _read_date(date: float | str) -> float | datetime:
    return datetime.fromisoformat(date) if isinstance(date, str) else date


def _attachment(one: Attachment) -> Values:
    return {
        "filename": one.filename,
        "content_type": one.content_type,
        "text": isinstance(one.data, str),
        "disposition": one.disposition,
        "headers": one.headers,
        "content_id": one.content_id,
    }


def _read_attachment(values: Values, content: bytes) -> Attachment:
    return Attachment(
        values["filename"],
        values["content_type"],
        content.decode() if values["text"] else content,
        values["disposition"],
        values["headers"],
        content_id=values["content_id"],
    )


def _enclosure(one: Attachment) -> bytes:
    content = one.data.encode() if isinstance(one.data, str) else one.data
    lines = encodebytes(content).rstrip().replace(b"\n", b"\r\n")
    return b"".join((_BEGIN, lines, _END))


def _contents(enclosures: bytes) -> list[bytes]:
    return [decodebytes(one) for one in enclosures.split(_END)[:-1]]
