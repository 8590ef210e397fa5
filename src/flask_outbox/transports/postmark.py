"""Postmark: https://postmarkapp.com/developer/api/email-api."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..config import Key
from ..config.convert import as_text
from ..delivery import Envelope, Outcome, RecipientReport, Reply, Report
from ..feedback.postmark import PostmarkEvents
from ..feedback.provider import ProviderEvents
from ..message import comparable
from .http.api import TLS, Means, Part, as_json, echoed
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, written
from .http.shared_calls import SharedCallTransport
from .suppression_lists.postmark import PostmarkSuppressions


class PostmarkTransport(SharedCallTransport):
    """``postmark://SERVER_TOKEN@?stream=outbound``."""

    host = "api.postmarkapp.com"
    max_recipients = 50
    events: ClassVar[type[ProviderEvents] | None] = PostmarkEvents
    messages_per_call = 500
    options: ClassVar[tuple[Key, ...]] = (
        TLS,
        Key("stream", "str", "outbound", "The message stream.", as_text),
    )

    # https://postmarkapp.com/developer/api/overview#error-codes
    errors: ClassVar[Mapping[str, Means]] = {
        "10": Means.ACCOUNT,  # bad or missing token
        "100": Means.ACCOUNT,  # maintenance
        "300": Means.REFUSED,  # invalid email request
        "400": Means.ACCOUNT,  # sender signature not found
        "401": Means.ACCOUNT,  # sender signature not confirmed
        "402": Means.REFUSED,  # invalid JSON
        "403": Means.REFUSED,  # invalid request fields
        "405": Means.ACCOUNT,  # not allowed to send
        "406": Means.REFUSED,  # inactive recipient
        "409": Means.REFUSED,  # JSON required
        "410": Means.REFUSED,  # too many batch messages
        "411": Means.REFUSED,  # forbidden attachment type
        "412": Means.ACCOUNT,  # account is pending
        "413": Means.ACCOUNT,  # account may not send
    }

    def message(self, fields: Fields) -> bytes:
        """One email, with the Message-ID that it has here."""
        headers = {
            **fields.headers,
            "Message-ID": fields.rfc_message_id,
            "X-PM-KeepID": "true",
        }
        body = {
            "From": written(fields.sender),
            "To": ", ".join(written(one) for one in fields.to),
            "Cc": ", ".join(written(one) for one in fields.cc),
            "Bcc": ", ".join(address for _, address in fields.bcc),
            "ReplyTo": ", ".join(written(one) for one in fields.reply_to),
            "Subject": fields.subject,
            "TextBody": fields.text,
            "HtmlBody": fields.html,
            "MessageStream": self.settings.options["stream"],
            "Metadata": echoed(fields.message_id),
            "Headers": [
                {"Name": name, "Value": value}
                for name, value in headers.items()
                if value
            ],
            "Attachments": [
                {
                    "Name": file.name,
                    "Content": file.base64,
                    "ContentType": file.content_type,
                    **(
                        {"ContentID": f"cid:{file.content_id}"}
                        if file.content_id
                        else {}
                    ),
                }
                for file in fields.files
            ],
        }
        return as_json(body)

    def request(self, what: bytes, key: str, unique: str) -> ApiRequest:
        """One email."""
        return ApiRequest(f"{self.base}/email", self._headers(key), what)

    def shared_request(self, messages: Sequence[bytes], key: str) -> ApiRequest:
        """An array of emails."""
        body = b"[" + b",".join(messages) + b"]"
        return ApiRequest(f"{self.base}/email/batch", self._headers(key), body)

    def login(self, key: str) -> dict[str, str]:
        """The token of the server, in a header of its own."""
        return {"X-Postmark-Server-Token": key}

    def _headers(self, key: str) -> dict[str, str]:
        return {
            **self.login(key),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def suppression_list(self) -> PostmarkSuppressions:
        """That of the message stream."""
        return PostmarkSuppressions(self, self.settings.options["stream"])

    def replies(
        self, parts: Sequence[Part], reply: ApiReply
    ) -> Sequence[ApiReply] | None:
        """A 200 has an array with what each email alone would be answered."""
        found = reply.json
        if reply.status != 200 or not isinstance(found, list):
            return None
        return [_reply_to_one(one) for one in found]

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The number in the body, which has nothing to do with HTTP's."""
        return reply.get("ErrorCode"), reply.get("Message")

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """By the number with a 422. After a 500 the message is lost, but not always."""
        if reply.status == 500:
            return Means.UNKNOWN
        if reply.status == 503:
            return Means.ACCOUNT
        if reply.status != 422:
            code = ""
        return super().meaning(reply, code, text)

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all recipients."""
        id = reply.get("MessageID")
        if reply.get("ErrorCode") != "0" or not id:
            return None
        return dict.fromkeys(envelope.recipients, id)

    def outcomes(self, envelope: Envelope, reply: ApiReply) -> Report:
        """Inactive addresses are named in the text, and refused."""
        text = reply.get("Message")
        told = Reply.parse(reply.status, text)
        _, found, listed = text.partition("inactive addresses: ")
        listed = listed.partition(". ")[0]
        inactive = {comparable(one.strip(" .")) for one in listed.split(",")}
        return Report(
            {
                one: RecipientReport(
                    Outcome.REFUSED
                    if found and comparable(one) in inactive
                    else Outcome.ACCEPTED,
                    told,
                )
                for one in envelope.recipients
            }
        )


def _reply_to_one(found: Any) -> ApiReply:
    accepted = isinstance(found, dict) and found.get("ErrorCode") == 0
    return ApiReply(200 if accepted else 422, {}, json.dumps(found).encode())
