"""Postmark: https://postmarkapp.com/developer/webhooks/webhooks-overview."""

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
    detail,
)
from .json_value import JsonValue, event_id, first
from .proof import CredentialEvents
from .provider import OUTBOX_ID

_BOUNCES: Mapping[str, Meaning] = {
    "HardBounce": HARD,
    "BadEmailAddress": HARD,
    "ManuallyDeactivated": HARD,
    "SpamComplaint": COMPLAINT,
    "Unsubscribe": LEFT,
    "SoftBounce": SOFT,
    "ChallengeVerification": SOFT,
    "Unconfirmed": SOFT,
    "Transient": LATER,
    "DnsError": LATER,
    "OpenRelayTest": LATER,
    "Blocked": BLOCKED,
    "SpamNotification": BLOCKED,
    "DMARCPolicy": BLOCKED,
    "VirusNotification": BLOCKED,
    "SMTPApiError": BLOCKED,
    "TemplateRenderingFailed": BLOCKED,
    "AutoResponder": NOTHING,
    "AddressChange": NOTHING,
    "Subscribe": NOTHING,
    "InboundError": NOTHING,
}

_KINDS: Mapping[str, Meaning] = {
    "Delivery": DELIVERED,
    "SpamComplaint": COMPLAINT,
    "Open": OPENED,
    "Click": CLICKED,
    "Inbound": NOTHING,
}

_SUPPRESSED = {"HardBounce": HARD, "SpamComplaint": COMPLAINT}

_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


class PostmarkEvents(CredentialEvents, JsonEvents):
    """One event in each request."""

    max_bytes: ClassVar[int] = 1024 * 1024
    """A bounce may contain what came back."""
    kind_field = "RecordType"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """https://postmarkapp.com/support/article/1125-custom-metadata-faq."""
        return f"X-PM-Metadata-{OUTBOX_ID}: {message_id}"

    def kind(self, event: JsonValue) -> str:
        """Its ``RecordType``; of a bounce, also the ``Type``."""
        kind = event["RecordType"].text
        return f"{kind} {event['Type'].text}" if kind == "Bounce" else kind

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """An address that Postmark deactivated has bounced, whatever the type."""
        if kind.startswith("Bounce "):
            found = _BOUNCES.get(event["Type"].text)
            passes = found in (None, SOFT, LATER, BLOCKED)
            return HARD if passes and event["Inactive"].is_true else found
        if kind == "SubscriptionChange":
            return _of_change(event)
        return _KINDS.get(kind)

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """A bounce has a number; another event is known by what it says."""
        kind, number = event["RecordType"].text, event["ID"].text
        address = first(event["Recipient"], event["Email"])
        time = first(*(event[one] for one in _TIMES))
        whole = (kind, event["MessageID"].text, address.text, time.text)
        told = first(event["Details"], event["Description"])
        return Feedback(
            fate,
            self.source,
            event_id(
                f"{kind}:{number}" if number else None,
                *whole,
                event["OriginalLink"].text,
            ),
            time.time(now),
            address.address,
            message_id=event["Metadata"][OUTBOX_ID].outbox_id,
            provider_id=event["MessageID"].id,
            reply=told.reply(),
            operator=meaning.operator,
            detail=detail(
                type=event["Type"],
                url=event["OriginalLink"],
                user_agent=event["UserAgent"],
                list=event["MessageStream"] if fate is Fate.UNSUBSCRIBED else "",
            ),
        )


def _of_change(event: JsonValue) -> Meaning | None:
    """Of an address that Postmark mails no more, or again.

    Those that the account's own people suppressed are not the recipient's word.
    """
    reason = event["SuppressionReason"].text
    if not event["SuppressSending"].is_true:
        return NOTHING
    if reason == "ManualSuppression":
        return LEFT if event["Origin"].text == "Recipient" else NOTHING
    return _SUPPRESSED.get(reason)
