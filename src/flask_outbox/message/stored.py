"""Stored: a message that is still to be rendered, as the JSON that the outbox keeps."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .addresses import Address, AddressLike
from .attachment import Attachment
from .message import Message
from .template import Template

Values = dict[str, Any]


def to_json(
    message: Message, sender: AddressLike | None, message_id: str, now: float
) -> str:
    """All of ``message``, which has been checked and shall be called ``message_id``.

    ``sender`` stands in where it has none, ``now`` where it has no date.
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
        "reply_to": message.reply_to and _address(message.reply_to),
        "alts": {kind: str(text) for kind, text in message.alts.items()},
        "attachments": [_attachment(one) for one in message.attachments],
        "date": _date(now if message.date is None else message.date),
        "charset": message.charset,
        "extra_headers": _without_message_id(message.extra_headers),
        "message_id": message_id,
        "mail_options": message.mail_options,
        "rcpt_options": message.rcpt_options,
    }
    return _written(values)


def from_json(text: str) -> Message:
    """The message that `to_json` wrote, with its template still to be rendered."""
    values: Values = json.loads(text)
    template = template_in(values)
    message = Message(
        subject=values["subject"],
        recipients=_read_addresses(values["recipients"]),
        alts=values["alts"],
        sender=_read_address(values["sender"]),
        cc=_read_addresses(values["cc"]),
        bcc=_read_addresses(values["bcc"]),
        attachments=[_read_attachment(one) for one in values["attachments"]],
        reply_to=values["reply_to"] and _read_address(values["reply_to"]),
        date=_read_date(values["date"]),
        charset=values["charset"],
        extra_headers=values["extra_headers"],
        mail_options=values["mail_options"],
        rcpt_options=values["rcpt_options"],
        message_id=values["message_id"],
    )
    message.template = template
    return message


def template_of(text: str) -> Template:
    """Only the template of a message that `to_json` wrote."""
    return template_in(json.loads(text))


def template_in(values: Values) -> Template:
    """The template among a stored message's values."""
    return Template(values["template"], values["context"], values["locale"])


def renewed(text: str, message_id: str, now: float) -> str:
    """The same once more, as a new message: with an identity and date of its own."""
    values: Values = json.loads(text)
    return _written({**values, "message_id": message_id, "date": now})


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
    data = one.data
    return {
        "filename": one.filename,
        "content_type": one.content_type,
        "text": data if isinstance(data, str) else None,
        "base64": None if isinstance(data, str) else b64encode(data).decode("ascii"),
        "disposition": one.disposition,
        "headers": one.headers,
        "content_id": one.content_id,
    }


def _read_attachment(values: Values) -> Attachment:
    text: str | None = values["text"]
    return Attachment(
        values["filename"],
        values["content_type"],
        b64decode(values["base64"]) if text is None else text,
        values["disposition"],
        values["headers"],
        content_id=values["content_id"],
    )
