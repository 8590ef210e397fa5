"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..delivery import Envelope
from ..feedback.provider import ProviderEvents
from ..feedback.sendgrid import SendGridEvents
from .http.api import FieldsTransport, Means, as_json, echoed
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, Mailbox
from .suppression_lists.sendgrid import SendGridSuppressions


class SendGridTransport(FieldsTransport):
    """``sendgrid://KEY@``; in the EU ``sendgrid://KEY@api.eu.sendgrid.com``."""

    host = "api.sendgrid.com"
    max_recipients = 1000
    events: ClassVar[type[ProviderEvents] | None] = SendGridEvents

    # It has no codes: 400 and 413 are the message's, 401, 403, 404 and 405 the
    # account's.
    errors: ClassVar[Mapping[str, Means]] = {}

    def request(self, what: Fields, key: str, unique: str) -> ApiRequest:
        """One personalization, with the Message-ID that it has here."""
        lists = {
            "to": [_mailbox(one) for one in what.to],
            "cc": [_mailbox(one) for one in what.cc],
            "bcc": [_mailbox(one) for one in what.bcc],
        }
        bodies = (("text/plain", what.text), ("text/html", what.html))
        body = {
            "personalizations": [{kind: one for kind, one in lists.items() if one}],
            "from": _mailbox(what.sender),
            "reply_to_list": [_mailbox(one) for one in what.reply_to],
            "subject": what.subject,
            "content": [{"type": kind, "value": text} for kind, text in bodies if text],
            "attachments": [
                {
                    "content": file.base64,
                    "type": file.content_type,
                    "filename": file.name,
                    "disposition": "inline" if file.content_id else "attachment",
                    **({"content_id": file.content_id} if file.content_id else {}),
                }
                for file in what.files
            ],
            "custom_args": echoed(what.message_id),
            "headers": {**what.headers, "Message-ID": what.rfc_message_id},
        }
        headers = {**self.login(key), "Content-Type": "application/json"}
        return ApiRequest(f"{self.base}/v3/mail/send", headers, as_json(body))

    def suppression_list(self) -> SendGridSuppressions:
        """Those of the account for bounces, complaints and global unsubscribes."""
        return SendGridSuppressions(self)

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The messages, each with the field at fault."""
        body = reply.json
        errors = body.get("errors") if isinstance(body, dict) else None
        found = [one for one in errors or [] if isinstance(one, dict)]
        return "", "; ".join(
            f"{one.get('field') or ''} {one.get('message')}".strip() for one in found
        )

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """202 with an empty body and one id, in a header."""
        id = reply.headers.get("x-message-id")
        return dict.fromkeys(envelope.recipients, id) if id else None


def _mailbox(mailbox: Mailbox) -> dict[str, Any]:
    name, address = mailbox
    return {"email": address, "name": name} if name else {"email": address}
