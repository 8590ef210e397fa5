"""SparkPost: https://developers.sparkpost.com/api/transmissions/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..delivery import Envelope, Outcome, Reply, Report
from ..errors import MessageError
from ..feedback.provider import ProviderEvents
from ..feedback.sparkpost import SparkPostEvents
from .http.api import BytesTransport, Means, as_json, echoed, hashed
from .http.client import ApiReply, ApiRequest
from .suppression_lists.sparkpost import SparkPostSuppressions


class SparkPostTransport(BytesTransport):
    """``sparkpost://KEY@``; in the EU ``sparkpost://KEY@api.eu.sparkpost.com``.

    A request is safe to repeat for 24 hours.
    """

    host = "api.sparkpost.com"
    max_recipients = 1  # the reply only counts those that it accepted
    events: ClassVar[type[ProviderEvents] | None] = SparkPostEvents

    idempotent = True

    # Its other codes mean what their status does, but for one that `meaning` reads.
    errors: ClassVar[Mapping[str, Means]] = {
        "1600": Means.REFUSED,  # the idempotency key of another request
        "1601": Means.DEFERRED,  # the same request is still being processed
        "1602": Means.REFUSED,  # no valid idempotency key
    }

    @classmethod
    def check_message(cls, envelope: Envelope, content: bytes) -> None:
        """Refuse bytes that are no text: the message is a string in JSON."""
        try:
            content.decode()
        except UnicodeDecodeError:
            raise MessageError(
                "message",
                "SparkPost takes messages as text, and this one has binary parts: "
                "encode them in base64 or quoted-printable.",
            ) from None

    def request(
        self, what: tuple[Envelope, bytes], key: str, unique: str
    ) -> ApiRequest:
        """The message as it is; ``{{`` in it is no variable."""
        envelope, content = what
        body = {
            "options": {"perform_substitutions": False},
            "metadata": echoed(envelope.message_id),
            "recipients": [{"address": {"email": one}} for one in envelope.recipients],
            "content": {"email_rfc822": content.decode()},
        }
        headers = {
            **self.login(key),
            "Content-Type": "application/json",
            "Idempotency-Key": unique,
        }
        return ApiRequest(f"{self.base}/api/v1/transmissions", headers, as_json(body))

    def login(self, key: str) -> dict[str, str]:
        """The key, without a scheme."""
        return {"Authorization": key}

    def suppression_list(self) -> SparkPostSuppressions:
        """That of the account."""
        return SparkPostSuppressions(self)

    def unique_key(self, envelope: Envelope, what: tuple[Envelope, bytes]) -> str:
        """The same at each attempt."""
        return hashed(envelope.message_id, envelope.recipients, what[1])

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The code and texts of the first error."""
        body = reply.json
        errors = body.get("errors") if isinstance(body, dict) else None
        first = errors[0] if isinstance(errors, list) and errors else {}
        if not isinstance(first, dict):
            return "", ""
        texts = (first.get("message"), first.get("description"))
        return str(first.get("code", "")), ": ".join(filter(None, texts))

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """A sending domain that is not set up is the account's; 420 is a limit."""
        if "sending domain" in text.lower():
            return Means.ACCOUNT
        if reply.status == 420:
            return Means.WAIT
        return super().meaning(reply, code, text)

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for the transmission."""
        id = _results(reply).get("id")
        return dict.fromkeys(envelope.recipients, str(id)) if id else None

    def outcomes(self, envelope: Envelope, reply: ApiReply) -> Report:
        """The recipient may be rejected by a reply of 200."""
        if not _results(reply).get("total_rejected_recipients"):
            return super().outcomes(envelope, reply)
        told = Reply.parse(reply.status, "SparkPost rejected the recipient")
        return Report.same(envelope.recipients, Outcome.REFUSED, told)


def _results(reply: ApiReply) -> dict[str, Any]:
    body = reply.json
    found = body.get("results") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
