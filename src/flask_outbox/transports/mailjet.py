"""Mailjet: https://dev.mailjet.com/email/guides/send-api-v31/."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ..config import UrlSettings
from ..delivery import Envelope
from ..errors import ConfigError, MessageError
from ..feedback.mailjet import MailjetEvents
from ..feedback.provider import ProviderEvents
from ..message import comparable
from .http.api import Means, Part, as_json
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, File, Mailbox
from .http.shared_calls import SharedCallTransport


class MailjetTransport(SharedCallTransport):
    """``mailjet://KEY:SECRET@``; ``MAIL_API_KEY`` is ``"KEY:SECRET"``."""

    host = "api.mailjet.com"
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = MailjetEvents
    messages_per_call = 50

    # Its codes, such as send-0003, mean what their status does.
    errors: ClassVar[Mapping[str, Means]] = {}

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse half of a pair of keys."""
        super().check_key(settings)
        if settings.username and not settings.password:
            raise ConfigError(
                'mailjet:// has half of its keys: write "mailjet://KEY:SECRET@".'
            )

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse several Reply-To, and texts attached in another charset than UTF-8."""
        if len(fields.reply_to) > 1:
            raise MessageError("reply_to", "Mailjet takes one address, not several.")
        for file in fields.files:
            if file.content_type.startswith("text/") and not _is_utf8(file.content):
                raise MessageError(
                    "attachments", f"Mailjet takes texts in UTF-8: {file.name} is not."
                )

    def message(self, fields: Fields) -> bytes:
        """One of ``Messages``."""
        body = {
            "From": _mailbox(fields.sender),
            "To": [_mailbox(one) for one in fields.to],
            "Cc": [_mailbox(one) for one in fields.cc],
            "Bcc": [_mailbox(one) for one in fields.bcc],
            "ReplyTo": _mailbox(fields.reply_to[0]) if fields.reply_to else None,
            "Subject": fields.subject,
            "TextPart": fields.text,
            "HTMLPart": fields.html,
            "Headers": fields.headers,
            "CustomID": fields.message_id,
            "Attachments": [_file(one) for one in fields.files if not one.content_id],
            "InlinedAttachments": [
                {**_file(one), "ContentID": one.content_id}
                for one in fields.files
                if one.content_id
            ],
        }
        return as_json(body)

    def request(self, what: bytes, key: str, unique: str) -> ApiRequest:
        """One message."""
        return self.shared_request([what], key)

    def shared_request(self, messages: Sequence[bytes], key: str) -> ApiRequest:
        """Several messages."""
        headers = {**self.login(key), "Content-Type": "application/json"}
        body = b'{"Messages": [' + b", ".join(messages) + b"]}"
        return ApiRequest(f"{self.base}/v3.1/send", headers, body)

    def login(self, key: str) -> dict[str, str]:
        """Both keys, as a user and a password."""
        pair = b64encode(self._pair(key).encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def replies(
        self, parts: Sequence[Part], reply: ApiReply
    ) -> Sequence[ApiReply] | None:
        """``Messages`` has one for each, whatever the status of all is.

        Those that are not called by our ids in our order say nothing.
        """
        body = reply.json
        found = body.get("Messages") if isinstance(body, dict) else None
        if not isinstance(found, list):
            return None
        pairs = zip(parts, found, strict=False)
        if not all(_is_about(part.envelope.message_id, one) for part, one in pairs):
            return []
        return [_reply_to_one(one, reply.status) for one in found]

    def _pair(self, key: str) -> str:
        return f"{key}:{self.settings.password}" if self.settings.password else key

    def secrets(self, key: str) -> list[str]:
        """Both keys."""
        return [key, *self._pair(key).split(":")]

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The code and text of the first error, of the message or of the request."""
        for error in _errors(reply.json):
            return str(error.get("ErrorCode", "")), str(error.get("ErrorMessage", ""))
        return "", ""

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """An id for each recipient."""
        try:
            (message,) = reply.json["Messages"]
            assert message["Status"] == "success"
            ids = {
                comparable(one["Email"]): str(one["MessageID"])
                for kind in ("To", "Cc", "Bcc")
                for one in message.get(kind, [])
            }
        except (KeyError, TypeError, ValueError, AssertionError):
            return None
        known = {one: ids.get(comparable(one)) for one in envelope.recipients}
        return {one: id for one, id in known.items() if id}


def _is_about(message_id: str | None, found: Any) -> bool:
    return isinstance(found, dict) and found.get("CustomID") in ("", None, message_id)


def _reply_to_one(found: dict[str, Any], status: int) -> ApiReply:
    """What a message alone would be answered."""
    body = json.dumps({"Messages": [found]}).encode()
    if found.get("Status") == "success":
        return ApiReply(200, {}, body)
    named = [one.get("StatusCode") for one in _objects(found.get("Errors"))]
    told = next((one for one in named if isinstance(one, int)), max(status, 400))
    return ApiReply(told, {}, body)


def _errors(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        for message in _objects(body.get("Messages")):
            yield from _objects(message.get("Errors"))
        yield body


def _objects(found: Any) -> list[dict[str, Any]]:
    some = found if isinstance(found, list) else []
    return [one for one in some if isinstance(one, dict)]


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    name, address = mailbox
    return {"Email": address, "Name": name} if name else {"Email": address}


def _file(file: File) -> dict[str, str]:
    return {
        "Filename": file.name,
        "ContentType": file.content_type,
        "Base64Content": file.base64,
    }


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
