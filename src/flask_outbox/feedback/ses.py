"""Amazon SES: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from ..delivery import Reply
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
    Meaning,
    blocked_if,
    detail,
)
from .json_value import JsonValue, enhanced, event_id, first
from .provider import OUTBOX_ID
from .sns import SnsEvents

_CERTIFICATES = re.compile(
    r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/"
    r"SimpleNotificationService-[a-z0-9]+\.pem"
)

_KINDS: Mapping[str, Meaning] = {
    "Send": NOTHING,
    "Delivery": DELIVERED,
    "DeliveryDelay": LATER,
    "Complaint": COMPLAINT,
    "Reject": BLOCKED,
    "Rendering Failure": BLOCKED,
    "Open": OPENED,
    "Click": CLICKED,
}

_RECIPIENTS: Mapping[str, tuple[str, str]] = {
    "Bounce": ("bounce", "bouncedRecipients"),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
}
"""Where those are named who have had the same. Others are for all of the message."""

_OPERATORS = {"ContentRejected", "AttachmentRejected", "MessageTooLarge"}
"""Sub-types of a bounce for which the address is not to blame."""

_NO_SUCH_HOST = "5.4.4"
"""Such a bounce is for good, although its type may be "Transient"."""

_TIMED = ("bounce", "complaint", "delivery", "deliveryDelay", "open", "click",
          "subscription", "mail")  # fmt: skip


class SesEvents(SnsEvents):
    """One event in each message, about one recipient or several.

    Of an event about several who cannot be told apart no address is known.
    """

    kind_field: ClassVar[str] = "eventType"
    arn: ClassVar[re.Pattern[str]] = re.compile(
        r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]+):\d{12}:[\w-]{1,256}",
        re.ASCII,
    )

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As a tag."""
        return f"X-SES-MESSAGE-TAGS: {OUTBOX_ID}={message_id}"

    def may_sign(self, certificate_url: str, topic: re.Match[str]) -> bool:
        """The service's hosts have nothing but its own certificates."""
        return _CERTIFICATES.fullmatch(certificate_url) is not None

    def service_host(self, topic: re.Match[str]) -> str:
        """In the topic's own region."""
        end = ".cn" if topic["partition"] == "aws-cn" else ""
        return f"sns.{topic['region']}.amazonaws.com{end}"

    def parts(self, event: JsonValue, id: str) -> Iterator[JsonValue]:
        """The event, once for each recipient that it is about."""
        place = _RECIPIENTS.get(_kind(event))
        some = list(event[place[0]][place[1]]) if place else []
        for number, recipient in enumerate(some or [_one_recipient(event)]):
            part = {"event": event.raw, "recipient": recipient.raw, "id": id}
            yield JsonValue({**part, "number": number})

    def kind(self, event: JsonValue) -> str:
        """Its type, whichever of two ways it was published."""
        return _kind(event["event"])

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce and a complaint have types of their own."""
        event, recipient = event["event"], event["recipient"]
        match kind:
            case "Bounce":
                return _of_bounce(event["bounce"], recipient)
            case "Subscription":
                new = event["subscription"]["newTopicPreferences"]
                return LEFT if new["unsubscribeAll"].is_true else NOTHING
        if event["complaint"]["complaintFeedbackType"].text == "not-spam":
            return NOTHING
        return _KINDS.get(kind)

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Known by the message's id, and which of its recipients it is about."""
        whole, recipient = event["event"], event["recipient"]
        mail = whole["mail"]
        time = first(*(whole[part]["timestamp"] for part in _TIMED))
        return Feedback(
            fate,
            self.source,
            event_id(f"{event['id'].text}:{event['number'].text}"),
            time.time(now),
            first(recipient["emailAddress"], recipient).address,
            message_id=mail["tags"][OUTBOX_ID].only.outbox_id,
            provider_id=mail["messageId"].id,
            rfc_message_id=_rfc_message_id(mail),
            reply=_reply(whole, recipient),
            operator=meaning.operator,
            detail=detail(
                type=whole["bounce"]["bounceSubType"],
                url=whole["click"]["link"],
                user_agent=first(
                    whole["click"]["userAgent"], whole["open"]["userAgent"]
                ),
                list=whole["subscription"]["contactList"],
            ),
        )


def _kind(event: JsonValue) -> str:
    return first(event["eventType"], event["notificationType"]).text


def _one_recipient(event: JsonValue) -> JsonValue:
    """The recipient of an event that names none, or several of whom it means one."""
    if _kind(event) == "Complaint":
        return event["complaint"]["complainedRecipients"].only
    return event["mail"]["destination"].only


def _of_bounce(bounce: JsonValue, recipient: JsonValue) -> Meaning:
    sub_type = bounce["bounceSubType"].text
    if sub_type in _OPERATORS:
        return BLOCKED
    if sub_type == "UnsubscribedRecipient":
        return LEFT
    permanent = bounce["bounceType"].text == "Permanent"
    is_hard = permanent or recipient["status"].text == _NO_SUCH_HOST
    told = enhanced(recipient["diagnosticCode"].reply(), recipient["status"])
    return blocked_if(HARD if is_hard else SOFT, told)


def _reply(event: JsonValue, recipient: JsonValue) -> Reply | None:
    told = first(
        recipient["diagnosticCode"],
        event["delivery"]["smtpResponse"],
        event["reject"]["reason"],
        event["failure"]["errorMessage"],
        event["deliveryDelay"]["delayType"],
        event["complaint"]["complaintFeedbackType"],
        event["bounce"]["bounceSubType"],
    )
    return enhanced(told.reply(), recipient["status"])


def _rfc_message_id(mail: JsonValue) -> str | None:
    """The Message-ID that the message was handed over with, if its headers are told."""
    ours = (
        one["value"] for one in mail["headers"] if one["name"].words == "message-id"
    )
    return next((one.rfc_message_id for one in ours), None)
