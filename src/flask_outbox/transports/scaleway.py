"""Scaleway: https://www.scaleway.com/en/developers/api/transactional-email/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..config import Key, UrlSettings
from ..config.convert import as_text
from ..delivery import Envelope
from ..errors import ConfigError, MessageError
from ..feedback.provider import ProviderEvents
from ..feedback.scaleway import OUTBOX_HEADER, ScalewayEvents
from ..message import comparable
from .http.api import TLS, FieldsTransport, Means, as_json
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, Mailbox, written


class ScalewayTransport(FieldsTransport):
    """``scaleway://SECRET_KEY@?project=PROJECT_ID``."""

    host = "api.scaleway.com"
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = ScalewayEvents
    options: ClassVar[tuple[Key, ...]] = (
        TLS,
        Key("project", "str", None, "The project's id.", as_text, "must be set"),
        Key("region", "str", "fr-par", "The region.", as_text),
    )

    # Its types of error mean what their status does.
    errors: ClassVar[Mapping[str, Means]] = {}

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse settings without a key or a project."""
        super().check_key(settings)
        if settings.options["project"] is None:
            raise ConfigError(
                "scaleway:// has no project: write "
                '"scaleway://SECRET_KEY@?project=PROJECT_ID".'
            )

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse inline images."""
        if any(file.content_id for file in fields.files):
            raise MessageError(
                "attachments", "Scaleway takes no inline image: link it."
            )

    def request(self, what: Fields, key: str, unique: str) -> ApiRequest:
        """One email; Reply-To is among the additional headers."""
        more = {**what.headers, **_echoed(what.message_id)}
        if what.reply_to:
            more["Reply-To"] = ", ".join(written(one) for one in what.reply_to)
        body = {
            "project_id": self.settings.options["project"],
            "from": _mailbox(what.sender),
            "to": [_mailbox(one) for one in what.to],
            "cc": [_mailbox(one) for one in what.cc],
            "bcc": [_mailbox(one) for one in what.bcc],
            "subject": what.subject,
            "text": what.text,
            "html": what.html,
            "attachments": [
                {"name": one.name, "type": one.content_type, "content": one.base64}
                for one in what.files
            ],
            "additional_headers": [
                {"key": name, "value": value} for name, value in more.items()
            ],
        }
        region = self.settings.options["region"]
        return ApiRequest(
            f"{self.base}/transactional-email/v1alpha1/regions/{region}/emails",
            {**self.login(key), "Content-Type": "application/json"},
            as_json(body),
        )

    def login(self, key: str) -> dict[str, str]:
        """The key, in a header of its own."""
        return {"X-Auth-Token": key}

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """``type`` and ``message``."""
        return reply.get("type"), reply.get("message")

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """An id for each recipient."""
        try:
            emails = reply.json["emails"]
            ids = {comparable(one["mail_rcpt"]): str(one["id"]) for one in emails}
        except (KeyError, TypeError):
            return None
        known = {one: ids.get(comparable(one)) for one in envelope.recipients}
        return {one: id for one, id in known.items() if id}


def _echoed(message_id: str | None) -> dict[str, str]:
    """A header, as Scaleway's events repeat the headers of a message."""
    return {OUTBOX_HEADER: message_id} if message_id else {}


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    name, address = mailbox
    return {"email": address, "name": name} if name else {"email": address}
