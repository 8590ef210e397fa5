"""MailerSend: https://developers.mailersend.com/api/v1/email."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from ..delivery import Envelope, Outcome, RecipientReport, Reply, Report
from ..errors import MessageError
from ..feedback.mailersend import MailerSendEvents
from ..feedback.provider import ProviderEvents
from ..message import comparable
from .http.api import FieldsTransport, Means, as_json, echoed
from .http.client import ApiReply, ApiRequest
from .http.fields import Fields, Mailbox

_NUMBER = re.compile(r"#(MS\d+)")
_URI = re.compile(r"<([^<>]+)>")


class MailerSendTransport(FieldsTransport):
    """``mailersend://TOKEN@``."""

    host = "api.mailersend.com"
    max_recipients = 10  # as many in Cc or in Bcc; 50 in To
    events: ClassVar[type[ProviderEvents] | None] = MailerSendEvents

    # Numbers at the end of its texts; the others mean what their status does.
    errors: ClassVar[Mapping[str, Means]] = {
        "MS42204": Means.ACCOUNT,
        "MS42207": Means.ACCOUNT,
        "MS42222": Means.ACCOUNT,
        "MS42225": Means.ACCOUNT,
    }

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse several addresses in Reply-To."""
        if len(fields.reply_to) > 1:
            raise MessageError("reply_to", "MailerSend takes one address, not several.")

    def request(self, what: Fields, key: str, unique: str) -> ApiRequest:
        """One email. MailerSend itself writes List-Unsubscribe-Post beside a URL."""
        headers = dict(what.headers)
        headers.pop("List-Unsubscribe-Post", None)
        body = {
            "from": _mailbox(what.sender),
            "to": [_mailbox(one) for one in what.to],
            "cc": [_mailbox(one) for one in what.cc],
            "bcc": [_mailbox(one) for one in what.bcc],
            "reply_to": _mailbox(what.reply_to[0]) if what.reply_to else None,
            "subject": what.subject,
            "text": what.text,
            "html": what.html,
            "in_reply_to": headers.pop("In-Reply-To", "").strip("<>"),
            "references": headers.pop("References", "").split(),
            "list_unsubscribe": _one_uri(headers.pop("List-Unsubscribe", "")),
            "headers": [
                {"name": name, "value": value} for name, value in headers.items()
            ],
            "tags": [
                f"{name}:{value}" for name, value in echoed(what.message_id).items()
            ],
            "attachments": [
                {
                    "filename": one.name,
                    "content": one.base64,
                    "disposition": "inline" if one.content_id else "attachment",
                    **({"id": one.content_id} if one.content_id else {}),
                }
                for one in what.files
            ],
        }
        return ApiRequest(
            f"{self.base}/v1/email",
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            as_json(body),
        )

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The number at the end of the text, and the text."""
        text = reply.get("message")
        number = _NUMBER.search(text)
        return number[1] if number else "", text

    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """One id for all, in a header; none if all are suppressed."""
        id = reply.headers.get("x-message-id")
        if reply.status != 202 or not (id or _suppressed(reply)):
            return None
        return dict.fromkeys(envelope.recipients, id) if id else {}

    def outcomes(self, envelope: Envelope, reply: ApiReply) -> Report:
        """Those whom MailerSend suppresses are named in a warning, and refused."""
        suppressed = _suppressed(reply)
        return Report(
            {
                one: _report(reply, suppressed.get(comparable(one)))
                for one in envelope.recipients
            }
        )


def _report(reply: ApiReply, suppressed: str | None) -> RecipientReport:
    if suppressed is None:
        told = Reply.parse(reply.status, "accepted")
        return RecipientReport(Outcome.ACCEPTED, told)
    told = Reply.parse(reply.status, f"MailerSend suppresses it: {suppressed}")
    return RecipientReport(Outcome.REFUSED, told)


def _suppressed(reply: ApiReply) -> dict[str, str]:
    """Each suppressed address, with why."""
    try:
        return {
            comparable(one["email"]): ", ".join(one.get("reasons") or one["reason"])
            for warning in reply.json.get("warnings", [])
            if warning["type"].endswith("_SUPPRESSED")
            for one in warning["recipients"]
        }
    except (AttributeError, KeyError, TypeError):
        return {}


def _one_uri(header: str) -> str:
    """The https URL of a List-Unsubscribe, or else its first URI."""
    uris: list[str] = _URI.findall(header)
    return next((one for one in uris if one.startswith("https:")), "".join(uris[:1]))


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    name, address = mailbox
    return {"email": address, "name": name} if name else {"email": address}
