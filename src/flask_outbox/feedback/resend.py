"""Resend: https://resend.com/docs/webhooks/event-types; it signs as Svix does."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from ..delivery import Reply
from ..errors import ConfigError, EventsRefused
from .fate import Fate, Feedback
from .json_events import (
    BLOCKED,
    CLICKED,
    COMPLAINT,
    DELIVERED,
    HARD,
    LATER,
    NOTHING,
    OPENED,
    SOFT,
    JsonEvents,
    Meaning,
    blocked_if,
    detail,
)
from .json_value import JsonValue, event_id, first
from .proof import refuse_if_old, same
from .provider import OUTBOX_ID, EventRequest, Said

TOLERANCE = timedelta(seconds=300)

_PREFIX = "whsec_"

_KINDS: Mapping[str, Meaning] = {
    "email.sent": NOTHING,
    "email.scheduled": NOTHING,
    "email.received": NOTHING,
    "email.delivered": DELIVERED,
    "email.delivery_delayed": LATER,
    "email.complained": COMPLAINT,
    "email.opened": OPENED,
    "email.clicked": CLICKED,
    "email.failed": BLOCKED,
    "email.suppressed": HARD,
    "contact.created": NOTHING,
    "contact.updated": NOTHING,
    "contact.deleted": NOTHING,
    "domain.created": NOTHING,
    "domain.updated": NOTHING,
    "domain.deleted": NOTHING,
}

OPERATORS_SUBTYPES = {"ContentRejected", "AttachmentRejected", "MessageTooLarge"}
"""Why a message came back that another message to the address would not (as SES says
it, by which Resend sends)."""


class ResendEvents(JsonEvents):
    """One event in each request."""

    kind_field: ClassVar[str] = "type"

    @classmethod
    def check_secret(cls, secret: str) -> None:
        """Refuse what is no signing secret."""
        if _key_of(secret) is None:
            raise ConfigError(
                "MAIL_EVENTS_SECRET is not the signing secret of a webhook of Resend: "
                f'it begins with "{_PREFIX}".'
            )

    def check(self, request: EventRequest) -> None:
        """The signature is over the id, the time and the body."""
        id, time, given = (
            request.headers.get(f"svix-{one}", "")
            for one in ("id", "timestamp", "signature")
        )
        signed = f"{id}.{time}.".encode() + request.body
        if not id or not self.fits_a_secret(
            lambda secret: _is_signed(secret, given, signed)
        ):
            raise EventsRefused(401, "the signature is missing or wrong")
        refuse_if_old(time, request.at, TOLERANCE)

    def read(self, request: EventRequest) -> Said:
        """The event is known by the id of the request."""
        said = super().read(request)
        id = event_id(request.headers.get("svix-id"))
        return replace(
            said, feedback=tuple(replace(one, event_id=id) for one in said.feedback)
        )

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce is permanent or not, and may be about the content."""
        if kind != "email.bounced":
            return _KINDS.get(kind)
        bounce = event["data"]["bounce"]
        if bounce["subType"].text in OPERATORS_SUBTYPES:
            return BLOCKED
        permanent = bounce["type"].text == "Permanent"
        return blocked_if(HARD if permanent else SOFT, _reply(event))

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Of several recipients it does not say which one is meant."""
        mail = event["data"]
        return Feedback(
            fate,
            self.source,
            "",
            event["created_at"].time(now),
            mail["to"].only.address,
            message_id=_outbox_id(mail["tags"]),
            provider_id=mail["email_id"].id,
            rfc_message_id=mail["message_id"].rfc_message_id,
            reply=_reply(event),
            operator=meaning.operator,
            detail=detail(
                type=mail["bounce"]["subType"],
                url=mail["click"]["link"],
                user_agent=mail["click"]["userAgent"],
            ),
        )


def _reply(event: JsonValue) -> Reply | None:
    mail = event["data"]
    return first(
        mail["bounce"]["diagnosticCode"].only,
        mail["bounce"]["message"],
        mail["failed"]["reason"],
        mail["suppressed"]["message"],
    ).reply()


def _outbox_id(tags: JsonValue) -> str | None:
    """Tags come as an object, or as a list of names and values."""
    if isinstance(tags.raw, dict):
        return tags[OUTBOX_ID].outbox_id
    ours = (one["value"] for one in tags if one["name"].text == OUTBOX_ID)
    return next((one.outbox_id for one in ours), None)


def _key_of(secret: str) -> bytes | None:
    encoded = secret.removeprefix(_PREFIX)
    try:
        return (
            (b64decode(encoded, validate=True) or None) if encoded != secret else None
        )
    except ValueError:
        return None


def _is_signed(secret: str, given: str, signed: bytes) -> bool:
    key = _key_of(secret)
    if key is None:
        return False
    wanted = "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()
    return any(same(one, wanted) for one in given.split(" "))
