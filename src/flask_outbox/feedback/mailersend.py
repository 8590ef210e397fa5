"""MailerSend: https://developers.mailersend.com/api/v1/account/webhooks."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from ..errors import EventsRefused
from .fate import Fate, Feedback
from .json_events import (
    CLICKED,
    COMPLAINT,
    DELIVERED,
    HARD,
    LATER,
    LEFT,
    NOTHING,
    OPENED,
    SOFT,
    JsonEvents,
    Meaning,
    blocked_if,
    detail,
)
from .json_value import JsonValue, event_id, first
from .proof import same
from .provider import OUTBOX_ID, EventRequest

_KINDS: Mapping[str, Meaning] = {
    "webhook.test": NOTHING,
    "activity.sent": NOTHING,
    "activity.delivered": DELIVERED,
    "activity.soft_bounced": SOFT,
    "activity.hard_bounced": HARD,
    "activity.deferred": LATER,
    "activity.opened": OPENED,
    "activity.opened_unique": OPENED,
    "activity.clicked": CLICKED,
    "activity.clicked_unique": CLICKED,
    "activity.unsubscribed": LEFT,
    "activity.spam_complaint": COMPLAINT,
    "recipient.on_hold_added": NOTHING,
    "recipient.on_hold_removed": NOTHING,
    "bulk_email.completed": NOTHING,
    "maintenance.start": NOTHING,
    "maintenance.end": NOTHING,
}


class MailerSendEvents(JsonEvents):
    """One event in each request. It has no time that is signed: a repetition is known
    by its event's id.
    """

    kind_field: ClassVar[str] = "type"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As a tag."""
        return f"X-MailerSend-Tags: {OUTBOX_ID}:{message_id}"

    def check(self, request: EventRequest) -> None:
        """The signature is over the body."""
        given = request.headers.get("signature", "").lower()
        if not self.fits_a_secret(
            lambda secret: same(
                given, hmac.digest(secret.encode(), request.body, "sha256").hex()
            )
        ):
            raise EventsRefused(401, "the signature is missing or wrong")

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce may be about policy."""
        meaning = _KINDS.get(kind)
        told = event["data"]["morph"]["reason"].reply()
        return blocked_if(meaning, told) if meaning else None

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Our id is one of the tags."""
        mail, more = event["data"]["email"], event["data"]["morph"]
        address, id = mail["recipient"]["email"], mail["message"]["id"]
        told = first(more["reason"], more["readable_reason"])
        time = event["created_at"]
        whole = (event["type"].text, id.text, address.text, time.text, more["url"].text)
        return Feedback(
            fate,
            self.source,
            event_id(event["data"]["id"].text, *whole),
            time.time(now),
            address.address,
            message_id=_outbox_id(mail["tags"]),
            provider_id=id.id,
            reply=told.reply(),
            operator=meaning.operator,
            detail=detail(url=more["url"], user_agent=more["user_agent"]),
        )


def _outbox_id(tags: JsonValue) -> str | None:
    ours = (one.text.partition(":") for one in tags)
    found = (value for name, _, value in ours if name == OUTBOX_ID)
    return next((JsonValue(one).outbox_id for one in found), None)
