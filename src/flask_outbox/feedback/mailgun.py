"""Mailgun: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import ClassVar

from ..delivery import Reply
from ..errors import EventsRefused
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
from .json_value import JsonValue, enhanced, event_id, first
from .proof import refuse_if_old, same
from .provider import OUTBOX_ID, EventRequest, OneTimeToken, Said

TOLERANCE = timedelta(days=3)
"""Mailgun repeats for eight hours, and warns that events may come late."""

NEVER_AGAIN = 406
"""Mailgun does not repeat what was answered so."""

_KINDS: Mapping[str, Meaning] = {
    "accepted": NOTHING,
    "stored": NOTHING,
    "delivered": DELIVERED,
    "opened": OPENED,
    "clicked": CLICKED,
    "unsubscribed": LEFT,
    "complained": COMPLAINT,
    "rejected": BLOCKED,
}

_FAILED_FOR: Mapping[str, Meaning] = {
    "bounce": HARD,
    "suppress-bounce": HARD,
    "suppress-complaint": COMPLAINT,
    "suppress-unsubscribe": LEFT,
    "espblock": BLOCKED,
}
"""What a permanent failure for each reason comes to; for another, it is soft."""


class MailgunEvents(JsonEvents):
    """One event in each request. The signature does not cover it, only a token, which
    is good for one request.
    """

    kind_field: ClassVar[str] = "event"

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As a variable, which recipients can read."""
        return f'X-Mailgun-Variables: {{"{OUTBOX_ID}": "{message_id}"}}'

    def check(self, request: EventRequest) -> None:
        """The signature is over the time and the token."""
        signature = request.json["signature"]
        time, token = signature["timestamp"].text, signature["token"].text
        given, signed = signature["signature"].text.lower(), f"{time}{token}".encode()
        if not token or not self.fits_a_secret(
            lambda key: same(given, hmac.digest(key.encode(), signed, "sha256").hex())
        ):
            raise EventsRefused(401, "the signature is missing or wrong")
        refuse_if_old(time, request.at, TOLERANCE, NEVER_AGAIN)

    def read(self, request: EventRequest) -> Said:
        """The event is known by the token, which no other event may have."""
        token = event_id(request.json["signature"]["token"].text)
        said = super().read(request)
        named = tuple(replace(one, event_id=token) for one in said.feedback)
        digest = _digest(request.json["event-data"])
        return Said(named, said.unknown, OneTimeToken(self.source, token, digest))

    def events(self, request: EventRequest) -> Iterator[JsonValue]:
        """The one event, beside its signature."""
        yield request.json["event-data"]

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A failure is temporary or permanent, for a reason."""
        if kind != "failed":
            return _KINDS.get(kind)
        if event["severity"].text == "temporary":
            return LATER
        meaning = _FAILED_FOR.get(event["reason"].text, SOFT)
        return blocked_if(meaning, _reply(event))

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Its id is the Message-ID."""
        id = event["message"]["headers"]["message-id"]
        return Feedback(
            fate,
            self.source,
            "",
            event["timestamp"].time(now),
            event["recipient"].address,
            message_id=event["user-variables"][OUTBOX_ID].outbox_id,
            provider_id=id.id,
            rfc_message_id=id.rfc_message_id,
            reply=_reply(event),
            operator=meaning.operator,
            detail=detail(
                type=event["reason"],
                url=event["url"],
                user_agent=event["client-info"]["user-agent"],
                list=event["mailing-list"]["address"],
            ),
        )


def _digest(event: JsonValue) -> str:
    try:
        whole = json.dumps(event.raw, sort_keys=True)
    except RecursionError as error:
        raise EventsRefused(400, "the event is nested too deep") from error
    return sha256(whole.encode()).hexdigest()


def _reply(event: JsonValue) -> Reply | None:
    status = event["delivery-status"]
    told = first(status["message"], status["description"])
    return enhanced(told.reply(status["code"]), status["enhanced-code"])
