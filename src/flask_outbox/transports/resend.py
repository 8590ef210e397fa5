"""Resend: https://resend.com/docs/api-reference/emails/send-email."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..delivery import Envelope
from ..errors import MessageError
from ..feedback.provider import ProviderEvents
from ..feedback.resend import ResendEvents
from .http.api import FieldsTransport, Means, as_json, echoed
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, written
from .suppression_lists.resend import ResendSuppressions


class ResendTransport(FieldsTransport):
    """``resend://KEY@``. A request is safe to repeat for 24 hours."""

    host = "api.resend.com"
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = ResendEvents
    idempotent = True

    # https://resend.com/docs/api-reference/errors
    errors: ClassVar[Mapping[str, Means]] = {
        "validation_error": Means.REFUSED,
        "missing_required_field": Means.REFUSED,
        "missing_required_parameter": Means.REFUSED,
        "invalid_parameter": Means.REFUSED,
        "invalid_attachment": Means.REFUSED,
        "invalid_idempotency_key": Means.REFUSED,
        "invalid_idempotent_request": Means.REFUSED,
        "missing_api_key": Means.ACCOUNT,
        "restricted_api_key": Means.ACCOUNT,
        "invalid_api_key": Means.ACCOUNT,
        "suspended_api_key": Means.ACCOUNT,
        "invalid_permission": Means.ACCOUNT,
        "email_above_quota": Means.ACCOUNT,
        "not_found": Means.ACCOUNT,
        "method_not_allowed": Means.ACCOUNT,
        "rate_limit_exceeded": Means.WAIT,
        "daily_quota_exceeded": Means.WAIT,
        "monthly_quota_exceeded": Means.WAIT,
        "concurrent_idempotent_requests": Means.DEFERRED,
        "resource_locked": Means.DEFERRED,
        "application_error": Means.DEFERRED,
        "service_unavailable": Means.DEFERRED,
    }

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse file names without an ending: Resend drops such mail silently."""
        for file in fields.files:
            if "." not in file.name.strip("."):
                raise MessageError(
                    "attachments",
                    f"the file name {file.name!r} has no ending, and Resend drops such "
                    "mail without a word: give it one that fits its type.",
                )

    def request(self, what: Fields, key: str, unique: str) -> ApiRequest:
        """One email."""
        body = {
            "from": written(what.sender),
            "to": [written(one) for one in what.to],
            "cc": [written(one) for one in what.cc],
            "bcc": [address for _, address in what.bcc],
            "reply_to": [written(one) for one in what.reply_to],
            "subject": what.subject,
            "text": what.text,
            "html": what.html,
            "headers": what.headers,
            "tags": [
                {"name": name, "value": value}
                for name, value in echoed(what.message_id).items()
            ],
            "attachments": [
                {
                    "filename": file.name,
                    "content": file.base64,
                    "content_type": file.content_type,
                    **({"content_id": file.content_id} if file.content_id else {}),
                }
                for file in what.files
            ],
        }
        headers = {
            **self.login(key),
            "Content-Type": "application/json",
            "Idempotency-Key": unique,
        }
        return ApiRequest(f"{self.base}/emails", headers, as_json(body))

    def suppression_list(self) -> ResendSuppressions:
        """That of the team."""
        return ResendSuppressions(self)

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """A ``validation_error`` of 401 or 403 is about the key or the domain."""
        if reply.status in (401, 403):
            return Means.ACCOUNT
        return super().meaning(reply, code, text)

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all recipients."""
        id = reply.get("id")
        return dict.fromkeys(envelope.recipients, id) if id else None
