"""Providers as their documentation describes them: they sign events and post them."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from flask_outbox.feedback.provider import EventRequest

ADA = "ada@example.org"
OUTBOX_ID = "01KB7J5XZ8Q2W3E4R5T6Y7V8M9"
AT = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
"""When the events of the samples happened."""
NOW = AT + timedelta(seconds=5)
"""When they are posted, and come."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Post:
    """A request as a provider sends it."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, at: datetime = NOW) -> EventRequest:
        """The same, as it came."""
        named = {name.lower(): value for name, value in self.headers.items()}
        return EventRequest(named, self.body, at)


class Provider:
    """One provider. ``settings`` are an app's keys with which it may post."""

    scheme: ClassVar[str]
    settings: ClassVar[dict[str, Any]]
    batches: ClassVar[bool] = False
    """Whether it posts several events in one request."""

    def post(self, *events: Event, at: datetime = NOW) -> Post:
        """The request with these events."""
        whole: Any = list(events) if self.batches else events[0]
        return self.signed(json.dumps(whole).encode(), at)

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        """The request with this body."""
        raise NotImplementedError

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        """A hard bounce of a message with `OUTBOX_ID`."""
        raise NotImplementedError


def _json(**headers: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"Content-Type": "application/json", **named}


LOGIN = "events:p:ass word"
BASIC = "Basic " + b64encode(LOGIN.encode()).decode()


class Basic(Provider):
    """Signs nothing, and sends a password."""

    settings: ClassVar[dict[str, Any]] = {"MAIL_EVENTS_SECRET": LOGIN}

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        return Post(body, _json(Authorization=BASIC))


class Postmark(Basic):
    scheme = "postmark"

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return {
            "RecordType": "Bounce",
            "ID": 4_323_372_036_854 + number,
            "Type": "HardBounce",
            "TypeCode": 1,
            "MessageID": "b7bc2f4a-e38e-4336-af7d-000000000001",
            "MessageStream": "outbound",
            "ServerID": 23,
            "Tag": "",
            "Metadata": {"outbox_id": OUTBOX_ID},
            "Description": "The server was unable to deliver your message.",
            "Details": "smtp;550 5.1.1 The email account does not exist.",
            "Email": address,
            "BouncedAt": "2026-11-29T12:00:00.0000000Z",
            "Inactive": True,
            "CanActivate": True,
        }

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "RecordType": kind,
            "MessageID": "b7bc2f4a-e38e-4336-af7d-000000000001",
            "MessageStream": "outbound",
            "Recipient": ADA,
            "Metadata": {"outbox_id": OUTBOX_ID},
            **fields,
        }


class Brevo(Basic):
    scheme = "brevo"
    batches = True

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "hard_bounce",
            email=address,
            ts_epoch=1_795_953_600_000 + number,
            reason="550 5.1.1 The email account does not exist.",
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "event": kind,
            "email": ADA,
            "id": 26224,
            "message-id": "<201798300811.5787683@smtp-relay.mailin.fr>",
            "ts_epoch": 1_795_953_600_000,
            "X-Mailin-custom": f"campaign:spring|outbox_id:{OUTBOX_ID}",
            "tags": ["news"],
            **fields,
        }


class Mailjet(Basic):
    scheme = "mailjet"
    batches = True

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "bounce",
            email=address,
            time=1_795_953_600 - number,
            blocked=False,
            hard_bounce=True,
            error_related_to="recipient",
            error="user unknown",
            comment="550 5.1.1 The email account does not exist.",
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "event": kind,
            "time": 1_795_953_600,
            "MessageID": 13792286917004336,
            "Message_GUID": "0d5c5c4e",
            "email": ADA,
            "CustomID": OUTBOX_ID,
            "Payload": "",
            **fields,
        }


class SparkPost(Basic):
    scheme = "sparkpost"
    batches = True

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "bounce",
            rcpt_to=address,
            event_id=str(92_356_927_693_813_856 + number),
            bounce_class="10",
            error_code="550",
            raw_reason="550 5.1.1 The email account does not exist.",
            reason="550 [internal] no such user",
        )

    def event(self, kind: str, group: str = "message_event", **fields: Any) -> Event:
        return {
            "msys": {
                group: {
                    "type": kind,
                    "event_id": "92356927693813856",
                    "timestamp": "1795953600",
                    "transmission_id": "65832150921904138",
                    "message_id": "000443ee14578172be22",
                    "rcpt_to": ADA,
                    "rcpt_meta": {"outbox_id": OUTBOX_ID},
                    **fields,
                }
            }
        }


class SendGrid(Provider):
    """ECDSA P-256 over the time and the body."""

    scheme = "sendgrid"
    batches = True
    key = ec.generate_private_key(ec.SECP256R1())
    settings: ClassVar[dict[str, Any]] = {
        "MAIL_EVENTS_SECRET": b64encode(
            key.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        ).decode()
    }

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        time = str(int(at.timestamp()))
        signature = self.key.sign(time.encode() + body, ec.ECDSA(SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": time,
        }
        return Post(body, {**_json(), **headers})

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "bounce",
            email=address,
            sg_event_id=f"Ym91bmNl{number}",
            type="bounce",
            status="5.1.1",
            reason="550 The email account does not exist.",
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "email": ADA,
            "timestamp": 1_795_953_600,
            "event": kind,
            "sg_event_id": f"event-{kind}",
            "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
            "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
            "outbox_id": OUTBOX_ID,
            **fields,
        }


class Mailgun(Provider):
    """HMAC over a time and a token, and not over the rest of the body."""

    scheme = "mailgun"
    key = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
    settings: ClassVar[dict[str, Any]] = {"MAIL_EVENTS_SECRET": key}

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        return Post(body, _json())

    def post(self, *events: Event, at: datetime = NOW) -> Post:
        whole = {"signature": self.signature(uuid4().hex, at), "event-data": events[0]}
        return self.signed(json.dumps(whole).encode())

    def signature(self, token: str, at: datetime = NOW) -> dict[str, str]:
        time = str(int(at.timestamp()))
        signed = f"{time}{token}".encode()
        signature = hmac.digest(self.key.encode(), signed, "sha256").hex()
        return {"timestamp": time, "token": token, "signature": signature}

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "failed",
            recipient=address,
            severity="permanent",
            reason="bounce",
            **{
                "delivery-status": {
                    "code": 550,
                    "enhanced-code": "5.1.1",
                    "message": "The email account does not exist.",
                    "description": "",
                }
            },
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "event": kind,
            "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": AT.timestamp(),
            "recipient": ADA,
            "message": {"headers": {"message-id": "2026.1@mg.example.com"}},
            "tags": [],
            "user-variables": {"outbox_id": OUTBOX_ID},
            **fields,
        }


class Resend(Provider):
    """Svix: HMAC over id, time and body."""

    scheme = "resend"
    key = b"0123456789abcdef0123456789abcdef"
    settings: ClassVar[dict[str, Any]] = {
        "MAIL_EVENTS_SECRET": "whsec_" + b64encode(key).decode()
    }

    def signed(self, body: bytes, at: datetime = NOW, id: str = "") -> Post:
        id, time = id or f"msg_{uuid4().hex}", str(int(at.timestamp()))
        signed = f"{id}.{time}.".encode() + body
        mine = b64encode(hmac.digest(self.key, signed, "sha256")).decode()
        headers = _json(
            svix_id=id, svix_timestamp=time, svix_signature=f"v1,AAAA v1,{mine}"
        )
        return Post(body, headers)

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "email.bounced",
            to=[address],
            bounce={
                "type": "Permanent",
                "subType": "General",
                "message": "550 5.1.1 The email account does not exist.",
            },
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "type": kind,
            "created_at": "2026-11-29T12:00:00.000Z",
            "data": {
                "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
                "message_id": "<111-222-333@email.example.com>",
                "from": "Shop <shop@example.com>",
                "to": [ADA],
                "subject": "Hello",
                "tags": {"outbox_id": OUTBOX_ID},
                **fields,
            },
        }


class MailerSend(Provider):
    """HMAC over the body."""

    scheme = "mailersend"
    key = "RdDmZQdGoO0mnnVZ7jEZbDUGSaQDG7Kb"
    settings: ClassVar[dict[str, Any]] = {"MAIL_EVENTS_SECRET": key}

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        signature = hmac.digest(self.key.encode(), body, "sha256").hex()
        return Post(body, _json(Signature=signature))

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "activity.hard_bounced",
            {"reason": "550 5.1.1 The email account does not exist."},
            address,
            f"{number:024x}",
        )

    def event(
        self,
        kind: str,
        morph: Event | None = None,
        address: str = ADA,
        id: str = "62f114f8165fe0d8db0288e3",
    ) -> Event:
        return {
            "type": kind,
            "created_at": "2026-11-29T12:00:00.000000Z",
            "webhook_id": "2351ndgwr4zqx8ko",
            "data": {
                "object": "activity",
                "id": id,
                "type": kind.removeprefix("activity."),
                "created_at": "2026-11-29T12:00:00.000000Z",
                "email": {
                    "object": "email",
                    "message": {"id": "62fb66bef54a112e920b5493"},
                    "recipient": {"email": address},
                    "tags": ["news", f"outbox_id:{OUTBOX_ID}"],
                },
                "morph": morph,
            },
        }


# ----------------------------------------------------------------- by way of a topic


class Signer:
    """A certificate of a service, and its key."""

    def __init__(
        self,
        issuer: Signer | None = None,
        *,
        starts: datetime = datetime(2020, 1, 1, tzinfo=UTC),
        ends: datetime = datetime(2100, 1, 1, tzinfo=UTC),
        bits: int = 2048,
    ) -> None:
        self.key = rsa.generate_private_key(65537, bits)
        self._name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"sns {id(self)}")]
        )
        by = issuer or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(by._name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
            .sign(by.key, SHA256())
        )
        self.pem = self.certificate.public_bytes(Encoding.PEM)


class Web:
    """What is on the web for a test: answers by URL, and what was asked for."""

    def __init__(self, **pages: bytes) -> None:
        self.pages: dict[str, bytes] = dict(pages)
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise OSError(f"{url} is not there")
        return self.pages[url]


class Sns(Provider):
    """A topic that posts what a provider publishes to it."""

    topic: ClassVar[str]
    certificate_url: ClassVar[str]
    signer: ClassVar[Signer]
    version = "2"

    def web(self) -> Web:
        """The service's hosts."""
        web = Web()
        web.pages[self.certificate_url] = self.signer.pem
        return web

    def post(self, *events: Event, at: datetime = NOW) -> Post:
        return self.signed(json.dumps(events[0]).encode(), at)

    def signed(self, body: bytes, at: datetime = NOW) -> Post:
        return self.message(Message=body.decode("utf-8", "replace"), at=at)

    def message(
        self, at: datetime = NOW, signer: Signer | None = None, **fields: str
    ) -> Post:
        """A message with these fields, signed."""
        whole = {
            "Type": "Notification",
            "MessageId": str(uuid4()),
            "TopicArn": self.topic,
            "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "SignatureVersion": self.version,
            "SigningCertURL": self.certificate_url,
            **fields,
        }
        names = {"MessageId", "Message", "Timestamp", "TopicArn", "Type"}
        names |= {"Subject"} if whole["Type"] == "Notification" else set()
        names |= set() if whole["Type"] == "Notification" else {"SubscribeURL", "Token"}
        signed = "".join(
            f"{name}\n{whole[name]}\n" for name in sorted(names) if name in whole
        )
        used = SHA1() if whole["SignatureVersion"] == "1" else SHA256()
        key = (signer or self.signer).key
        signature = key.sign(signed.encode(), padding.PKCS1v15(), used)
        whole["Signature"] = b64encode(signature).decode()
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": whole["Type"],
            "x-amz-sns-message-id": whole["MessageId"],
            "x-amz-sns-topic-arn": whole["TopicArn"],
        }
        return Post(json.dumps(whole).encode(), headers)


class Ses(Sns):
    scheme = "ses"
    topic = "arn:aws:sns:eu-west-1:123456789012:mail-events"
    settings: ClassVar[dict[str, Any]] = {"MAIL_EVENTS_TOPICS": [topic]}
    certificate_url = (
        "https://sns.eu-west-1.amazonaws.com/"
        "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
    )
    subscribe_url = (
        f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={topic}"
        "&Token=2336412f37"
    )
    signer = Signer()

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "Bounce",
            bounce={
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [
                    {
                        "emailAddress": address,
                        "action": "failed",
                        "status": "5.1.1",
                        "diagnosticCode": "smtp; 550 5.1.1 The email account does "
                        "not exist.",
                    }
                ],
                "timestamp": "2026-11-29T12:00:00.000Z",
                "feedbackId": "01000157c44f053b-61b59c11",
            },
        )

    def event(self, kind: str, to: tuple[str, ...] = (ADA,), **fields: Any) -> Event:
        return {
            "eventType": kind,
            "mail": {
                "timestamp": "2026-11-29T12:00:00.000Z",
                "messageId": "0100018c-0000-0000-0000-000000",
                "source": "shop@example.com",
                "destination": list(to),
                "headersTruncated": False,
                "headers": [{"name": "Message-ID", "value": "<1@example.com>"}],
                "tags": {"outbox_id": [OUTBOX_ID], "ses:source-ip": ["192.0.2.1"]},
            },
            **fields,
        }


class Scaleway(Sns):
    scheme = "scaleway"
    topic = "arn:scw:sns:fr-par:project-8c8bfa06:mail-events"
    settings: ClassVar[dict[str, Any]] = {"MAIL_EVENTS_TOPICS": topic}
    certificate_url = "https://messaging.s3.fr-par.scw.cloud/fr-par/sns/cert-1.pem"
    chain_url = "https://messaging.s3.fr-par.scw.cloud/fr-par/sns/sns-trust-chain.pem"
    subscribe_url = (
        f"https://sns.mnq.fr-par.scaleway.com/?Action=ConfirmSubscription&TopicArn={topic}"
        "&Token=2336412f37"
    )
    authority = Signer()
    signer = Signer(authority)

    def web(self) -> Web:
        web = super().web()
        web.pages[self.chain_url] = Signer().pem + self.authority.pem
        return web

    def bounce(self, address: str = ADA, number: int = 0) -> Event:
        return self.event(
            "email_mailbox_not_found",
            id=f"8e9c1b7e-{number:04}",
            email_to=address,
            email_response_code=550,
            email_response_message="5.1.1 The email account does not exist.",
        )

    def event(self, kind: str, **fields: Any) -> Event:
        return {
            "id": f"event-{kind}",
            "type": kind,
            "created_at": "2026-11-29T12:00:00.000000Z",
            "email_id": "7e0ee2b1-28c2-4b4b-8e1a-6c5f8a3d9d10",
            "email_from": "shop@example.com",
            "email_to": ADA,
            "email_headers": [
                {"key": "Message-ID", "value": "<1@example.com>"},
                {"key": "X-Outbox-ID", "value": OUTBOX_ID},
            ],
            "email_try_count": 1,
            **fields,
        }


PROVIDERS: list[Provider] = [
    Postmark(), SendGrid(), Resend(), Mailgun(), Brevo(), Mailjet(), SparkPost(),
    MailerSend(), Ses(), Scaleway(),
]  # fmt: skip
