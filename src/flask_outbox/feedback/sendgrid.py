"""SendGrid: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from ..config import EventSettings
from ..errors import ConfigError, EventsRefused
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
    JsonEvents,
    Meaning,
    detail,
)
from .json_value import JsonValue, enhanced, event_id, first
from .proof import need_cryptography, refuse_if_old
from .provider import BATCH_BYTES, OUTBOX_ID, EventRequest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

TOLERANCE = timedelta(days=3)
"""How old a request may be: it is not documented whether repetitions are signed
anew, and they come for a day. Their events are known by their ids."""

_KINDS: Mapping[str, Meaning] = {
    "processed": NOTHING,
    "deferred": LATER,
    "delivered": DELIVERED,
    "open": OPENED,
    "click": CLICKED,
    "spamreport": COMPLAINT,
    "unsubscribe": LEFT,
    "group_unsubscribe": LEFT,
    "group_resubscribe": NOTHING,
    "account_status_change": NOTHING,
}

_DROPPED = (
    ("bounced", HARD),
    ("invalid", HARD),
    ("spam report", COMPLAINT),
    ("unsubscribe", LEFT),
)
"""Words in the reason why SendGrid did not try, before any other reason."""

_ID_ENDS = re.compile(r"\.(?:filter|recvd|sg-?filter)")
"""Where the id in the reply to a request ends in that of an event."""


class SendGridEvents(JsonEvents):
    """Lists of events, signed by ECDSA with a key whose public part is the secret."""

    max_bytes: ClassVar[int] = BATCH_BYTES
    kind_field = "event"

    @classmethod
    def check_settings(cls, settings: EventSettings) -> None:
        """Also the package that verifies signatures must be there."""
        need_cryptography(settings.scheme)
        super().check_settings(settings)

    @classmethod
    def check_secret(cls, secret: str) -> None:
        """Refuse what is no public key."""
        if _key_of(secret) is None:
            raise ConfigError(
                "MAIL_EVENTS_SECRET is not a verification key of SendGrid: copy it "
                'from the settings of the event webhook, where it begins with "MFkw".'
            )

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """As an argument that is unique to the message."""
        return f'X-SMTPAPI: {{"unique_args": {{"{OUTBOX_ID}": "{message_id}"}}}}'

    def check(self, request: EventRequest) -> None:
        """The signature is over the time and the body."""
        time = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
        given = request.headers.get("x-twilio-email-event-webhook-signature", "")
        signed = time.encode() + request.body
        if not self.fits_a_secret(lambda key: _signed(key, given, signed)):
            raise EventsRefused(401, "the signature is missing or wrong")
        refuse_if_old(time, request.at, TOLERANCE)

    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """A bounce of the type "blocked" says nothing of the address."""
        if kind == "bounce":
            return BLOCKED if event["type"].text == "blocked" else HARD
        if kind == "dropped":
            reason = event["reason"].words
            found = (one for words, one in _DROPPED if words in reason)
            return next(found, BLOCKED)
        return _KINDS.get(kind)

    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """Our id is beside the event's own fields."""
        told = first(event["reason"], event["response"])
        whole = [
            event[one].text
            for one in ("event", "sg_message_id", "email", "timestamp", "url")
        ]
        return Feedback(
            fate,
            self.source,
            event_id(event["sg_event_id"].text, *whole),
            event["timestamp"].time(now),
            event["email"].address,
            message_id=event[OUTBOX_ID].outbox_id,
            provider_id=_ID_ENDS.split(event["sg_message_id"].text)[0] or None,
            rfc_message_id=event["smtp-id"].rfc_message_id,
            reply=enhanced(told.reply(), event["status"]),
            operator=meaning.operator,
            detail=detail(
                type=event["type"],
                url=event["url"],
                user_agent=event["useragent"],
                list=event["asm_group_id"] if fate is Fate.UNSUBSCRIBED else "",
            ),
        )


def _key_of(secret: str) -> EllipticCurvePublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import (
        SECP256R1,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(b64decode(secret, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    return None


def _signed(secret: str, signature: str, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _key_of(secret)
    if key is None:
        return False
    try:
        key.verify(b64decode(signature, validate=True), signed, ECDSA(SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True
