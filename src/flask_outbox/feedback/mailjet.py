"""Mailjet: https://dev.mailjet.com/email/guides/webhooks/."""

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
    OPENED,
    SOFT,
    JsonEvents,
    Meaning,
    blocked_if,
    detail,
)
from .json_value import JsonValue, event_id, first
from .proof import CredentialEvents
from .provider import BATCH_BYTES

_KINDS: Mapping[str, Meaning] = {
    "sent": DELIVERED,
    "open": OPENED,
    "click": CLICKED,
    "spam": COMPLAINT,
    "unsub": LEFT,
}

_THE_ADDRESS = ("", "recipient", "domain")
"""What a bounce is related to if it is not the message or its sender."""


class MailjetEvents(CredentialEvents, JsonEvents):
    """One event, or a list of those of one second."""

    max_bytes: ClassVar[int] = BATCH_BYTES
    kind_field = "event"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As ``CustomID``."""
        return f"X-MJ-CustomID: {message_id}"

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce is hard or not, and is related to somebody."""
        if kind not in ("bounce", "blocked"):
            return _KINDS.get(kind)
        if event["error_related_to"].text not in _THE_ADDRESS:
            return BLOCKED
        if event["hard_bounce"].is_true:
            return blocked_if(HARD, event["comment"].reply())
        if event["error"].text == "greylisted":
            return LATER
        return blocked_if(
            BLOCKED if kind == "blocked" else SOFT, event["comment"].reply()
        )

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """It has no id: it is known by what it says."""
        names = ("event", "MessageID", "email", "time", "url")
        told = first(event["comment"], event["smtp_reply"], event["error"])
        return Feedback(
            fate,
            self.source,
            event_id(None, *(event[one].text for one in names)),
            event["time"].time(now),
            event["email"].address,
            message_id=event["CustomID"].outbox_id,
            provider_id=event["MessageID"].id,
            reply=told.reply(),
            operator=meaning.operator,
            detail=detail(
                type=event["error"],
                url=event["url"],
                user_agent=event["agent"],
                list=event["mj_list_id"] if fate is Fate.UNSUBSCRIBED else "",
            ),
        )
