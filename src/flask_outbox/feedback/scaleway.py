"""Scaleway: https://www.scaleway.com/en/docs/transactional-email/reference-content/webhook-events-payloads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from ..delivery import Reply
from .fate import Fate, Feedback
from .json_events import (
    BLOCKED,
    DELIVERED,
    HARD,
    LATER,
    NOTHING,
    Meaning,
    blocked_if,
    detail,
)
from .json_value import JsonValue, event_id, first
from .sns import SnsEvents

OUTBOX_HEADER = "X-Outbox-ID"
"""It has the outbox's id of a message."""

_CERTIFICATES = re.compile(
    r"https://messaging\.s3\.fr-par\.scw\.cloud/[\w./-]+\.pem", re.A
)

_KINDS: Mapping[str, Meaning] = {
    "unknown_type": NOTHING,
    "email_queued": NOTHING,
    "email_delivered": DELIVERED,
    "email_deferred": LATER,
    "email_dropped": HARD,
    "email_mailbox_not_found": HARD,
    "email_spam": BLOCKED,
    "email_blocklisted": BLOCKED,
    "blocklist_created": NOTHING,
}


class ScalewayEvents(SnsEvents):
    """One event in each message, about one recipient."""

    kind_field: ClassVar[str] = "type"
    arn: ClassVar[re.Pattern[str]] = re.compile(
        r"arn:scw:sns:(?P<region>[a-z0-9-]+):[\w-]+:[\w-]+", re.ASCII
    )

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """A header, as events repeat those of a message."""
        return f"{OUTBOX_HEADER}: {message_id}"

    def may_sign(self, certificate_url: str, topic: re.Match[str]) -> bool:
        """They are in one bucket; who issued them is looked at, too."""
        return _CERTIFICATES.fullmatch(certificate_url) is not None

    def service_host(self, topic: re.Match[str]) -> str:
        """In the topic's own region."""
        return f"sns.mnq.{topic['region']}.scaleway.com"

    def issuers_url(self, topic: re.Match[str]) -> str:
        """https://www.scaleway.com/en/docs/topics-and-events/reference-content/veriying-webhooks."""
        bucket = "https://messaging.s3.fr-par.scw.cloud"
        return f"{bucket}/{topic['region']}/sns/sns-trust-chain.pem"

    def parts(self, event: JsonValue, id: str) -> Iterator[JsonValue]:
        """The event itself."""
        yield event

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A hard bounce may be about policy."""
        meaning = _KINDS.get(kind)
        return blocked_if(meaning, _told(event)) if meaning else None

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Our id is in a header that the event repeats."""
        names = ("type", "email_id", "email_to", "created_at")
        return Feedback(
            fate,
            self.source,
            event_id(event["id"].text, *(event[one].text for one in names)),
            event["created_at"].time(now),
            event["email_to"].only.address,
            message_id=_header(event["email_headers"], OUTBOX_HEADER).outbox_id,
            provider_id=event["email_id"].id,
            rfc_message_id=_header(event["email_headers"], "Message-ID").rfc_message_id,
            reply=_told(event),
            operator=meaning.operator,
            detail=detail(type=event["type"]),
        )


def _told(event: JsonValue) -> Reply | None:
    text = first(event["email_response_message"], event["email_error"])
    return text.reply(event["email_response_code"])


def _header(headers: JsonValue, name: str) -> JsonValue:
    """A header, from an object or from a list of names and values."""
    wanted = name.lower()
    if isinstance(headers.raw, dict):
        pairs = {str(one).lower(): value for one, value in headers.raw.items()}
        return JsonValue(pairs.get(wanted)).only
    for one in headers:
        if first(one["key"], one["name"]).text.lower() == wanted:
            return one["value"]
    return JsonValue(None)
