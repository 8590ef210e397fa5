"""Amazon SES: https://docs.aws.amazon.com/ses/latest/APIReference-V2."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ..config import Key, UrlSettings
from ..config.convert import as_text
from ..delivery import Envelope
from ..errors import ConfigError, TransportDown, raised
from ..feedback.provider import ProviderEvents
from ..feedback.ses import SesEvents
from .http.api import TLS, BytesTransport, Means, Question, as_json, echoed
from .http.client import ApiReply, ApiRequest
from .suppression_lists.ses import SesSuppressions

PATH = "/v2/email/outbound-emails"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Credentials of one moment. None of them is in the ``repr``."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class SesTransport(BytesTransport):
    """``ses://?region=eu-west-1``, with the credentials that AWS's tools find here.

    Others stand before an @: ``ses://ACCESS_KEY:SECRET_KEY@?region=eu-west-1``.
    """

    host = ""
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = SesEvents
    options: ClassVar[tuple[Key, ...]] = (
        TLS,
        Key("region", "str", None, "The AWS region.", as_text, "must be set"),
        Key("configuration_set", "str", None, "A configuration set.", as_text, "none"),
    )

    # https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
    errors: ClassVar[Mapping[str, Means]] = {
        "TooManyRequestsException": Means.WAIT,
        "ThrottlingException": Means.WAIT,
        "SendingPausedException": Means.ACCOUNT,
        "AccountSuspendedException": Means.ACCOUNT,
        "MailFromDomainNotVerifiedException": Means.ACCOUNT,
        "LimitExceededException": Means.ACCOUNT,
        "NotFoundException": Means.ACCOUNT,
        "MessageRejected": Means.REFUSED,
        "BadRequestException": Means.REFUSED,
        "ValidationError": Means.REFUSED,
        "RequestEntityTooLarge": Means.REFUSED,
        "InternalFailure": Means.DEFERRED,
        "ServiceUnavailable": Means.DEFERRED,
        "RequestTimeout": Means.DEFERRED,
    }

    def __init__(self, settings: UrlSettings) -> None:
        super().__init__(settings)
        self._key = AwsCredentials(settings)
        self._region: str = settings.options["region"]
        if not settings.host:
            self.base: str = f"https://email.{self._region}.amazonaws.com"

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse half of a pair of keys, no region, and an absent botocore."""
        if settings.options["region"] is None:
            raise ConfigError('ses:// has no region: write "ses://?region=eu-west-1".')
        if bool(settings.username) != bool(settings.password):
            raise ConfigError(
                "ses:// has half of its keys: write ses://ACCESS_KEY:SECRET_KEY@, with "
                'a "/" in the secret as %2F, or neither.'
            )
        if not settings.username and importlib.util.find_spec("botocore") is None:
            raise ConfigError(
                "ses:// without keys needs the package botocore to find them: install "
                'it with pip install "flask-outbox[ses]".'
            )

    def request(
        self, what: tuple[Envelope, bytes], key: AwsKeys, unique: str
    ) -> ApiRequest:
        """The message as it is; ``Destination`` is its envelope."""
        envelope, content = what
        body = as_json(
            {
                "Destination": {"ToAddresses": envelope.recipients},
                "Content": {"Raw": {"Data": b64encode(content).decode()}},
                "EmailTags": [
                    {"Name": name, "Value": value}
                    for name, value in echoed(envelope.message_id).items()
                ],
                "ConfigurationSetName": self.settings.options["configuration_set"],
            }
        )
        return self.inquiry(Question("POST", PATH, body), key)

    def inquiry(self, question: Question, key: AwsKeys) -> ApiRequest:
        """A request that is signed."""
        url = f"{self.base}{question.path}"
        signed = signature(
            question.method, url, question.body, key, self._region, datetime.now(UTC)
        )
        return ApiRequest(url, signed, question.body, question.method)

    def suppression_list(self) -> SesSuppressions:
        """That of the account in the region."""
        return SesSuppressions(self)

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The type in a header or in the body, without a namespace."""
        named = reply.headers.get("x-amzn-errortype") or reply.get("__type")
        kind = named.partition(":")[0].rpartition("#")[2]
        return kind, reply.get("message") or reply.get("Message")

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """An identity that is not verified is the account's, not the message's."""
        if code == "MessageRejected" and "not verified" in text:
            return Means.ACCOUNT
        return super().meaning(reply, code, text)

    def rejected(self, reply: ApiReply) -> bool:
        """Whether the credentials were good once, and may be renewed."""
        return self.error(reply)[0] in ("ExpiredTokenException", "ExpiredToken")

    def secrets(self, key: AwsKeys) -> list[str]:
        """The secret and the session's token."""
        return [one for one in (key.secret_key, key.token) if one]

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all recipients."""
        id = reply.get("MessageId")
        return dict.fromkeys(envelope.recipients, id) if id else None


def signature(
    method: str, url: str, body: bytes, key: AwsKeys, region: str, now: datetime
) -> dict[str, str]:
    """The headers of a request, signed (Signature Version 4).

    ``url`` is encoded, its query in alphabetical order.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    place = urlsplit(url)
    at, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    headers = {
        "content-type": "application/json",
        "host": place.netloc,
        "x-amz-date": at,
    }
    if key.token:
        headers["x-amz-security-token"] = key.token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join(
        [method, quote(place.path), place.query, lines, names, _hash(body)]
    )
    scope = f"{day}/{region}/ses/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{_hash(canonical.encode())}"
    secret = f"AWS4{key.secret_key}".encode()
    for one in (day, region, "ses", "aws4_request"):
        secret = hmac.digest(secret, one.encode(), "sha256")
    signed = hmac.digest(secret, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signed}"
    )
    return headers


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class AwsCredentials:
    """The pair of keys in the URL, or what botocore finds where the app runs."""

    def __init__(self, settings: UrlSettings) -> None:
        self._given = (
            AwsKeys(settings.username, settings.password)
            if settings.username and settings.password
            else None
        )
        self._found: Any = None

    async def get(self) -> AwsKeys:
        """The keys of now; botocore renews its own. Raises `TransportDown`."""
        if self._given is not None:
            return self._given
        try:
            return await asyncio.to_thread(self._ask)
        except TransportDown:
            raise
        except Exception as error:
            raise TransportDown(
                f"botocore found no credentials, it raised {raised(error)}."
            ) from None

    async def renewed(self, rejected: AwsKeys) -> bool:
        """Whether botocore finds others than the rejected ones."""
        if self._given is not None:
            return False
        self._found = None
        return await self.get() != rejected

    def _ask(self) -> AwsKeys:
        from botocore.session import get_session

        if self._found is None:
            self._found = get_session().get_credentials()
        if self._found is None:
            raise TransportDown(
                "botocore found no credentials: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, a profile, or a role."
            )
        now = self._found.get_frozen_credentials()
        return AwsKeys(now.access_key, now.secret_key, now.token)
