"""Brevo: https://developers.brevo.com/reference/sendtransacemail."""

from __future__ import annotations

from collections.abc import Mapping
from email.header import Header
from typing import ClassVar
from uuid import UUID

from ..delivery import Envelope
from ..errors import MessageError
from ..feedback.brevo import ECHOED_HEADER, BrevoEvents
from ..feedback.provider import ProviderEvents
from .http.api import FieldsTransport, Means, as_json, echoed, hashed
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, Mailbox
from .suppression_lists.brevo import BrevoSuppressions

DUPLICATE = "duplicate_parameter"
"""The error of a request whose idempotency key it has had: that was the message."""


class BrevoTransport(FieldsTransport):
    """``brevo://KEY@``. A request is safe to repeat for 15 minutes, until it has an
    answer.
    """

    host = "api.brevo.com"
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = BrevoEvents
    idempotent = True

    errors: ClassVar[Mapping[str, Means]] = {
        "invalid_parameter": Means.REFUSED,
        "missing_parameter": Means.REFUSED,
        "out_of_range": Means.REFUSED,
        "unauthorized": Means.ACCOUNT,
        "not_enough_credits": Means.ACCOUNT,
        "permission_denied": Means.ACCOUNT,
    }

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse inline images, several Reply-To and headers that are not ASCII."""
        if any(file.content_id for file in fields.files):
            raise MessageError("attachments", "Brevo takes no inline image: link it.")
        if len(fields.reply_to) > 1:
            raise MessageError("reply_to", "Brevo takes one address, not several.")
        for name, value in fields.headers.items():
            if not value.isascii():
                raise MessageError(name, "Brevo takes headers in ASCII only.")

    def request(self, what: Fields, key: str, unique: str) -> ApiRequest:
        """One email; its idempotency key is among the headers in the body."""
        body = {
            "sender": _mailbox(what.sender),
            "to": [_mailbox(one) for one in what.to],
            "cc": [_mailbox(one) for one in what.cc],
            "bcc": [_mailbox(one) for one in what.bcc],
            "replyTo": _mailbox(what.reply_to[0]) if what.reply_to else None,
            "subject": what.subject,
            "textContent": what.text,
            "htmlContent": what.html,
            "headers": {
                **what.headers,
                **_echoed(what),
                "idempotencyKey": str(UUID(unique)),
            },
            "attachment": [
                {"name": file.name, "content": file.base64} for file in what.files
            ],
        }
        headers = {**self.login(key), "Content-Type": "application/json"}
        return ApiRequest(f"{self.base}/v3/smtp/email", headers, as_json(body))

    def login(self, key: str) -> dict[str, str]:
        """The key, in a header of its own."""
        return {"api-key": key}

    def suppression_list(self) -> BrevoSuppressions:
        """The blocked contacts of the account."""
        return BrevoSuppressions(self)

    def unique_key(self, envelope: Envelope, what: Fields) -> str:
        """Another one for each attempt.

        Brevo does not say whether a request that it answered with an error used up its
        key. If it did, the retry would be taken for a repetition, and never be sent.
        """
        return hashed(what, envelope.attempt)

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """``code`` and ``message``."""
        return reply.get("code"), reply.get("message")

    def is_duplicate(self, reply: ApiReply) -> bool:
        """Whether this is the answer to a repetition."""
        return reply.get("code") == DUPLICATE

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """201 with one id, or with nothing."""
        id = reply.get("messageId").strip("<>")
        if not id and reply.body.strip():
            return None
        return dict.fromkeys(envelope.recipients, id) if id else {}


def _echoed(what: Fields) -> dict[str, str]:
    """The header that Brevo's events repeat, after what the message has in it."""
    own = {name.lower(): name for name in what.headers}
    name = own.get(ECHOED_HEADER.lower(), ECHOED_HEADER)
    ours = [f"{name}:{value}" for name, value in echoed(what.message_id).items()]
    values = [what.headers.get(name), *ours]
    return {name: "|".join(filter(None, values))} if ours else {}


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    """A name is encoded (RFC 2047), as Brevo drops some that are not ASCII."""
    name, address = mailbox
    if not name:
        return {"email": address}
    shown = name if name.isascii() else Header(name, "utf-8", maxlinelen=998).encode()
    return {"email": address, "name": shown}
