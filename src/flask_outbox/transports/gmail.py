"""Gmail: https://developers.google.com/workspace/gmail/api/reference/rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..delivery import Envelope
from ..errors import MessageError
from .http.addressed import HeadersTransport
from .http.api import Means
from .http.client import ApiReply, ApiRequest

MAX_BYTES = 36_700_160
"""Of a message that is uploaded."""


class GmailTransport(HeadersTransport):
    """``gmail://``, in the mailbox of the token; ``MAIL_API_KEY`` is
    ``oauth.google(…)``.
    """

    host = "gmail.googleapis.com"
    oauth_function = "google"
    max_recipients = 500

    # https://developers.google.com/workspace/gmail/api/guides/handle-errors
    errors: ClassVar[Mapping[str, Means]] = {
        "rateLimitExceeded": Means.WAIT,
        "userRateLimitExceeded": Means.WAIT,
        "quotaExceeded": Means.WAIT,
        "dailyLimitExceeded": Means.WAIT,
        "failedPrecondition": Means.ACCOUNT,
        "domainPolicy": Means.ACCOUNT,
        "insufficientPermissions": Means.ACCOUNT,
    }

    @classmethod
    def check_message(cls, envelope: Envelope, content: bytes) -> None:
        """Refuse what is too large."""
        if len(content) > MAX_BYTES:
            raise MessageError(
                "message",
                f"Gmail takes {MAX_BYTES / 1_000_000:.1f} MB with all that is "
                f"attached, and this has {len(content) / 1_000_000:.1f} MB.",
            )

    def request(self, what: bytes, key: str, unique: str) -> ApiRequest:
        """The message as it is, uploaded."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "message/rfc822"}
        path = "/upload/gmail/v1/users/me/messages/send?uploadType=media"
        return ApiRequest(f"{self.base}{path}", headers, what)

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The first ``reason`` and the ``message`` in ``error``."""
        body = reply.json
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return "", ""
        return _reason(error), str(error.get("message", ""))

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all recipients."""
        id = reply.get("id")
        return dict.fromkeys(envelope.recipients, id) if id else None


def _reason(error: Mapping[str, Any]) -> str:
    errors = error.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("reason", "")) if isinstance(first, dict) else ""
