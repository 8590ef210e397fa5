"""Brevo: https://developers.brevo.com/docs/transactional-webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from .fate import Fate, Feedback
from .json_events import (
    BLOCKED,
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
from .proof import CredentialEvents
from .provider import BATCH_BYTES, OUTBOX_ID

ECHOED_HEADER = "X-Mailin-custom"
"""``name:value``, and more of these after a ``|``."""

_KINDS: Mapping[str, Meaning] = {
    "request": NOTHING,
    "sent": NOTHING,
    "delivered": DELIVERED,
    "hard_bounce": HARD,
    "invalid_email": HARD,
    "soft_bounce": SOFT,
    "deferred": LATER,
    "spam": COMPLAINT,
    "error": BLOCKED,
    "opened": OPENED,
    "unique_opened": OPENED,
    "proxy_open": OPENED,
    "unique_proxy_open": OPENED,
    "click": CLICKED,
    "unsubscribe": LEFT,
    "unsubscribed": LEFT,
}

_BLOCKED_FOR = (("hard bounce", HARD), ("unsubscribe", LEFT))
"""Words in the reason why Brevo did not try, before any other reason."""


class BrevoEvents(CredentialEvents, JsonEvents):
    """One event, or a list of up to 500."""

    max_bytes: ClassVar[int] = BATCH_BYTES
    kind_field = "event"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As by the API."""
        return f"{ECHOED_HEADER}: {OUTBOX_ID}:{message_id}"

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """What is blocked is blocked for a reason."""
        if kind == "blocked":
            reason = event["reason"].words.replace("-", " ")
            found = (one for words, one in _BLOCKED_FOR if words in reason)
            return next(found, BLOCKED)
        meaning = _KINDS.get(kind)
        return blocked_if(meaning, event["reason"].reply()) if meaning else None

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """It has no id: it is known by what it says."""
        names = ("message-id", "event", "email", "ts_epoch", "link")
        time = first(event["ts_epoch"], event["ts_event"])
        return Feedback(
            fate,
            self.source,
            event_id(None, *(event[one].text for one in names)),
            time.time(now),
            event["email"].address,
            message_id=_outbox_id(event[ECHOED_HEADER]),
            provider_id=event["message-id"].id,
            rfc_message_id=event["message-id"].rfc_message_id,
            reply=event["reason"].reply(),
            operator=meaning.operator,
            detail=detail(url=event["link"], user_agent=event["user_agent"]),
        )


def _outbox_id(header: JsonValue) -> str | None:
    for pair in header.text.split("|"):
        name, _, value = pair.partition(":")
        if name.strip() == OUTBOX_ID:
            return JsonValue(value).outbox_id
    return None
