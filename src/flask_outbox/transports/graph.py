"""Microsoft Graph: https://learn.microsoft.com/graph/api/user-sendmail."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar

from ..config import Key, UrlSettings
from ..config.convert import as_text
from ..delivery import Envelope
from ..errors import ConfigError, MessageError
from .http.addressed import HeadersTransport
from .http.api import TLS, Means
from .http.client import ApiReply, ApiRequest, in_path

MAX_BYTES = 4 * 1024 * 1024
"""Of a request, whose base64 counts."""


class GraphTransport(HeadersTransport):
    """``graph://?mailbox=shop@example.com``; ``MAIL_API_KEY`` is
    ``oauth.microsoft(…)``.
    """

    host = "graph.microsoft.com"
    oauth_function = "microsoft"
    max_recipients = 500
    options: ClassVar[tuple[Key, ...]] = (
        TLS,
        Key("mailbox", "str", None, "Whose mail it is.", as_text, "must be set"),
    )

    # https://learn.microsoft.com/graph/errors
    errors: ClassVar[Mapping[str, Means]] = {
        "ErrorInvalidRecipients": Means.REFUSED,
        "ErrorMessageSizeExceeded": Means.REFUSED,
        "ErrorAccessDenied": Means.ACCOUNT,
        "ErrorSendAsDenied": Means.ACCOUNT,
        "MailboxNotEnabledForRESTAPI": Means.ACCOUNT,
        "ApplicationThrottled": Means.WAIT,
    }

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse settings without a token or a mailbox."""
        super().check_key(settings)
        if settings.options["mailbox"] is None:
            raise ConfigError(
                'graph:// has no mailbox: write "graph://?mailbox=shop@example.com".'
            )

    @classmethod
    def check_message(cls, envelope: Envelope, content: bytes) -> None:
        """Refuse what is too large for one request."""
        if len(content) * 4 / 3 > MAX_BYTES:
            raise MessageError(
                "message",
                "Microsoft Graph takes 3 MB including attachments, and this has "
                f"{len(content) / 1_000_000:.1f} MB: send it by SMTP, or link the "
                "files.",
            )

    def request(self, what: bytes, key: str, unique: str) -> ApiRequest:
        """The message as it is, in base64."""
        mailbox = in_path(self.settings.options["mailbox"])
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"}
        return ApiRequest(
            f"{self.base}/v1.0/users/{mailbox}/sendMail", headers, b64encode(what)
        )

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """``code`` and ``message`` in ``error``."""
        body = reply.json
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return "", ""
        return str(error.get("code", "")), str(error.get("message", ""))

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """503 may be repeated; after other 5xx mail was seen to arrive."""
        if reply.status == 503:
            return Means.DEFERRED
        if reply.status == 509:
            return Means.WAIT
        if reply.status >= 500:
            return Means.UNKNOWN
        return super().meaning(reply, code, text)

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """No id: a reply of 202 is empty."""
        return {} if reply.status == 202 else None
