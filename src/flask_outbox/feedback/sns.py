"""Events that come by way of a topic of Amazon SNS, or of a service that speaks as it.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html

Anybody can have a topic, and a signature only says that a message is from one: so the
topic is looked at first, before anything is fetched or verified.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from ..config import EventSettings
from ..errors import ConfigError, EventsRefused
from .certificates import Certificates, Fetch, HttpsFetch
from .json_events import JsonEvents
from .json_value import JsonValue, parse
from .proof import need_cryptography, refuse_if_old
from .provider import EventRequest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

TOLERANCE = timedelta(hours=1)

NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"

SIGNED: Mapping[str, tuple[str, ...]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(
        (CONFIRMATION, "UnsubscribeConfirmation"),
        (
            "Message",
            "MessageId",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ),
    ),
}
"""The types of message, with the fields that a signature covers, in their order."""

TOPIC_WORKS = "Successfully validated SNS topic"
"""How the text of a notification begins that only shows that the topic works."""


class SnsEvents(JsonEvents):
    """Messages from the topics in ``MAIL_EVENTS_TOPICS``; those of others are refused.

    A subscription of one of these topics is confirmed. What is fetched for that, and to
    verify signatures, is fetched with ``fetch``.
    """

    max_bytes: ClassVar[int] = 1024 * 1024
    """An event of 256 KB, as text inside JSON."""
    content_types: ClassVar[tuple[str, ...]] = ("text/plain", "application/json")
    arn: ClassVar[re.Pattern[str]]
    """The form of a topic's ARN, with a group for its ``region``."""

    def __init__(self, settings: EventSettings, fetch: Fetch | None = None) -> None:
        super().__init__(settings)
        self._fetch = fetch or HttpsFetch(settings.ca_file)
        self._certificates = Certificates(self._fetch)

    @classmethod
    def check_settings(cls, settings: EventSettings) -> None:
        """Topics are needed, and no secret."""
        need_cryptography(settings.scheme)
        if settings.secrets:
            raise ConfigError(
                f"MAIL_EVENTS_SECRET is set, and events of {settings.scheme} have "
                "none: set MAIL_EVENTS_TOPICS to the ARNs of its topics."
            )
        if not settings.topics:
            raise ConfigError(
                "MAIL_EVENTS_TOPICS is not set: without the ARNs of its topics, "
                f"events of {settings.scheme} cannot be told from forged ones."
            )
        for one in settings.topics:
            if not cls.arn.fullmatch(one):
                raise ConfigError(
                    f"MAIL_EVENTS_TOPICS has {one!r}, which is not the ARN of a topic "
                    f"of {settings.scheme}."
                )

    @abstractmethod
    def may_sign(self, certificate_url: str, topic: re.Match[str]) -> bool:
        """Whether the certificate at this URL can be the service's."""

    @abstractmethod
    def service_host(self, topic: re.Match[str]) -> str:
        """Where subscriptions of a topic are confirmed."""

    def issuers_url(self, topic: re.Match[str]) -> str | None:
        """Where the certificates are that must have issued the one that signs; None if
        it is enough that it comes from the service.
        """
        return None

    # ------------------------------------------------------------------------- checking

    def check(self, request: EventRequest) -> None:
        """The topic is one of ours, and the message is signed by its service."""
        message = request.json
        topic = self._topic(message)
        kind = message["Type"].text
        if kind not in SIGNED:
            raise EventsRefused(400, "the message has no type that is known", kind)
        url = _string(message["SigningCertURL"])
        if not self.may_sign(url, topic):
            text = "the certificate is not where the service has them"
            raise EventsRefused(401, text, url)
        refuse_if_old(message["Timestamp"].text, request.at, TOLERANCE)
        key = self._certificates.key(url, self.issuers_url(topic), request.at)
        if not _is_signed(message, SIGNED[kind], key):
            raise EventsRefused(401, "the signature is missing or wrong")

    def _topic(self, message: JsonValue) -> re.Match[str]:
        given = _string(message["TopicArn"])
        topic = self.arn.fullmatch(given) if given in self.settings.topics else None
        if topic is None:
            text = "the topic is not one of MAIL_EVENTS_TOPICS"
            raise EventsRefused(401, text, given)
        return topic

    # -------------------------------------------------------------------------- reading

    def events(self, request: EventRequest) -> Iterator[JsonValue]:
        """The events in a notification. Confirms a subscription.

        Raises `EventsRefused` if a subscription cannot be confirmed.
        """
        message = request.json
        kind = message["Type"].text
        if kind == CONFIRMATION:
            self._confirm(message)
        elif kind != NOTIFICATION:
            odd = JsonValue({self.kind_field: kind})
            yield from self.parts(odd, message["MessageId"].text)
        elif not _string(message["Message"]).startswith(TOPIC_WORKS):
            try:
                event = parse(_string(message["Message"]))
            except ValueError:
                event = JsonValue({self.kind_field: "a text"})
            yield from self.parts(event, message["MessageId"].text)

    @abstractmethod
    def parts(self, event: JsonValue, id: str) -> Iterator[JsonValue]:
        """What a notification with this ``id`` says, for each recipient."""

    def _confirm(self, message: JsonValue) -> None:
        url = _string(message["SubscribeURL"])
        if not _is_at(url, self.service_host(self._topic(message))):
            text = "the subscription is not confirmed where its service is"
            raise EventsRefused(400, text, url)
        try:
            self._fetch(url)
        except OSError as error:
            text = "the subscription cannot be confirmed at present"
            raise EventsRefused(503, text, str(error)) from error


def _string(value: JsonValue) -> str:
    """A string exactly as it is."""
    return value.raw if isinstance(value.raw, str) else ""


def _is_at(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return url.isascii() and parts.scheme == "https" and parts.netloc == host


def _is_signed(message: JsonValue, fields: tuple[str, ...], key: Any) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    hashes: dict[str, HashAlgorithm] = {"1": SHA1(), "2": SHA256()}  # noqa: S303
    used = hashes.get(message["SignatureVersion"].text)
    signed = "".join(
        f"{name}\n{message[name].raw}\n"
        for name in fields
        if isinstance(message[name].raw, str)
    )
    if used is None:
        return False
    try:
        signature = b64decode(_string(message["Signature"]), validate=True)
        key.verify(signature, signed.encode(), PKCS1v15(), used)
    except (ValueError, InvalidSignature):
        return False
    return True
