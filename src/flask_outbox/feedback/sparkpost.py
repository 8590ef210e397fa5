"""SparkPost: https://docs.bird.com/api/email-api/webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    detail,
    objects,
)
from .json_value import JsonValue, event_id, first
from .proof import CredentialEvents
from .provider import BATCH_BYTES, OUTBOX_ID, EventRequest

_KINDS: Mapping[str, Meaning] = {
    "injection": NOTHING,
    "delivery": DELIVERED,
    "delay": LATER,
    "spam_complaint": COMPLAINT,
    "policy_rejection": BLOCKED,
    "generation_failure": BLOCKED,
    "generation_rejection": BLOCKED,
    "open": OPENED,
    "initial_open": OPENED,
    "amp_open": OPENED,
    "amp_initial_open": OPENED,
    "click": CLICKED,
    "amp_click": CLICKED,
    "list_unsubscribe": LEFT,
    "link_unsubscribe": LEFT,
}

_BOUNCES = ("bounce", "out_of_band")

_CLASSES: Mapping[str, Meaning] = {
    **dict.fromkeys(("10", "30"), HARD),
    **dict.fromkeys(("25", "50", "51", "52", "53", "54"), BLOCKED),
    "60": NOTHING,  # an automatic reply
    "80": NOTHING,  # somebody subscribes by mail
    "90": LEFT,
}
"""What a bounce of each class comes to; all others are soft."""


class SparkPostEvents(CredentialEvents, JsonEvents):
    """Lists of events; an empty one is a test."""

    max_bytes: ClassVar[int] = BATCH_BYTES
    kind_field = "type"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As metadata."""
        return f'X-MSYS-API: {{"metadata": {{"{OUTBOX_ID}": "{message_id}"}}}}'

    def events(self, request: EventRequest) -> Iterator[JsonValue]:
        """The one event in each item's ``msys``, whose name there says the same as its
        type.
        """
        for item in objects(request):
            found = item["msys"].raw
            if isinstance(found, dict):
                yield from map(JsonValue, found.values())
            else:
                yield item

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce has a class."""
        if kind in _BOUNCES:
            return _CLASSES.get(event["bounce_class"].text, SOFT)
        return _KINDS.get(kind)

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """The mailbox as it was written may be in another field than the address."""
        address = event["raw_rcpt_to"].address or event["rcpt_to"].address
        told = first(event["raw_reason"], event["reason"])
        names = ("type", "message_id", "rcpt_to", "timestamp", "target_link_url")
        return Feedback(
            fate,
            self.source,
            event_id(event["event_id"].text, *(event[one].text for one in names)),
            event["timestamp"].time(now),
            address,
            message_id=event["rcpt_meta"][OUTBOX_ID].outbox_id,
            provider_id=event["transmission_id"].id,
            reply=told.reply(event["error_code"]),
            operator=meaning.operator,
            detail=detail(
                type=event["bounce_class"],
                url=event["target_link_url"],
                user_agent=event["user_agent"],
            ),
        )
