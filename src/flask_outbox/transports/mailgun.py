"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import ClassVar

from ..config import UrlSettings
from ..delivery import Envelope
from ..errors import ConfigError
from ..feedback.mailgun import MailgunEvents
from ..feedback.provider import ProviderEvents
from .http.api import BytesTransport, Means, echoed
from .http.client import ApiReply, ApiRequest, in_path
from .suppression_lists.mailgun import MailgunSuppressions


class MailgunTransport(BytesTransport):
    """``mailgun://KEY@/mg.example.com``: the path is the sending domain."""

    host = "api.mailgun.net"
    max_recipients = 1000
    events: ClassVar[type[ProviderEvents] | None] = MailgunEvents

    # 404 "Domain not found", 401, 402 and 403 are the account's, by their status.
    errors: ClassVar[Mapping[str, Means]] = {}

    @classmethod
    def check_settings(cls, settings: UrlSettings) -> None:
        """Refuse a URL without a domain: the API answers 200 to a wrong path."""
        super().check_settings(settings)
        if not settings.path or "/" in settings.path:
            raise ConfigError(
                "mailgun:// names no sending domain: write it as the path, as in "
                f'"mailgun://KEY@{cls.host}/mg.example.com".'
            )

    def request(
        self, what: tuple[Envelope, bytes], key: str, unique: str
    ) -> ApiRequest:
        """The message as a file, and a ``to`` for each recipient of the envelope."""
        envelope, content = what
        boundary = sha256(content).hexdigest()
        parts = [_field("to", one.encode()) for one in envelope.recipients]
        parts += [
            _field(f"v:{name}", value.encode())
            for name, value in echoed(envelope.message_id).items()
        ]
        parts.append(_field('message"; filename="message.eml', content))
        body = b"".join(f"--{boundary}\r\n".encode() + part for part in parts)
        headers = {
            **self.login(key),
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        }
        return ApiRequest(
            f"{self.base}/v3/{self._domain}/messages.mime",
            headers,
            body + f"--{boundary}--\r\n".encode(),
        )

    def login(self, key: str) -> dict[str, str]:
        """The key, as a password."""
        login = b64encode(f"api:{key}".encode()).decode()
        return {"Authorization": f"Basic {login}"}

    def suppression_list(self) -> MailgunSuppressions:
        """Those of the sending domain."""
        return MailgunSuppressions(self, self._domain)

    @property
    def _domain(self) -> str:
        return in_path(self.settings.path)

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all; a wrong path is answered 200 without one."""
        id = reply.get("id").strip("<>")
        return dict.fromkeys(envelope.recipients, id) if id else None


def _field(name: str, value: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
    return head + value + b"\r\n"
