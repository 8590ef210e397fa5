"""Fakes of the providers, each written from the provider's documentation."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from email import message_from_bytes
from email.policy import HTTP, SMTP
from email.utils import parseaddr
from typing import Any
from uuid import UUID

from flask_outbox.testing.transport_contract import PeerBehaviour
from flask_outbox.transports.base import Transport
from tests.servers.http_api import KEY, RETRY_AFTER, Answer, FakeApi, Request


def _addresses(some: list[str]) -> list[str]:
    return [parseaddr(one)[1] for one in some]


def _only(body: dict[str, Any], names: str) -> None:
    """An API refuses what it does not know."""
    assert not set(body) - set(names.split())


class FakeResend(FakeApi):
    """resend.com/docs/api-reference/emails/send-email."""

    scheme = "resend"

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/emails", "/elsewhere")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["user-agent"]
        _only(
            body,
            "from to cc bcc reply_to subject text html headers tags attachments",
        )
        assert body["from"]
        assert body["to"]
        everyone = [*body["to"], *body.get("cc", []), *body.get("bcc", [])]
        assert len(everyone) <= 50
        return frozenset(_addresses(everyone))

    def repetition(self, request: Request) -> str:
        key = request.headers["idempotency-key"]
        assert 1 <= len(key) <= 256
        return key

    def echoed(self, request: Request) -> str | None:
        tags = {one["name"]: one["value"] for one in request.json.get("tags", [])}
        return tags.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return Answer(200, {"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.named(422, "validation_error", "Invalid `to` field.")
            case PeerBehaviour.DEFER:
                return self.named(500, "application_error", "Unexpected error.")
            case PeerBehaviour.THROTTLE:
                name = "rate_limit_exceeded"
                body = {"statusCode": 429, "name": name, "message": "Too many."}
                return Answer(429, body, RETRY_AFTER)
        return self.named(401, "validation_error", f"API key {KEY} is invalid")

    @staticmethod
    def named(status: int, name: str, message: str) -> Answer:
        return Answer(status, {"statusCode": status, "name": name, "message": message})


class FakePostmark(FakeApi):
    """postmarkapp.com/developer/api/email-api."""

    scheme = "postmark"

    def parts(self, request: Request) -> list[Request]:
        if request.path != "/email/batch":
            return [request]
        assert 1 <= len(request.json) <= 500
        assert len(request.body) <= 50_000_000
        return [
            replace(request, path="/email", body=json.dumps(one).encode())
            for one in request.json
        ]

    def joined(self, answers: list[Answer]) -> Answer:
        return Answer(200, [one.body for one in answers])

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/email", "/elsewhere")
        assert request.headers["x-postmark-server-token"] == KEY
        assert request.headers["accept"] == "application/json"
        _only(
            body,
            "From To Cc Bcc ReplyTo Subject TextBody HtmlBody MessageStream Metadata "
            "Headers Attachments",
        )
        assert body["To"]
        everyone = [body.get(one, "") for one in ("To", "Cc", "Bcc")]
        return frozenset(_addresses(", ".join(filter(None, everyone)).split(", ")))

    def echoed(self, request: Request) -> str | None:
        found: dict[str, str] = request.json.get("Metadata", {})
        return found.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return Answer(
            200,
            {
                "ErrorCode": 0,
                "Message": "OK",
                "MessageID": f"b7bc2f4a-e38e-4336-af7d-{len(self.taken):012}",
                "SubmittedAt": "2026-11-29T12:00:00Z",
                "To": request.json["To"],
            },
        )

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.numbered(422, 300, "Invalid 'To' address.")
            case PeerBehaviour.DEFER:
                return Answer(502, b"<html>Bad gateway</html>")
            case PeerBehaviour.THROTTLE:
                return Answer(429, b"", RETRY_AFTER)
        return self.numbered(401, 10, f"Bad token {KEY}.")

    @staticmethod
    def numbered(status: int, code: int, message: str) -> Answer:
        return Answer(status, {"ErrorCode": code, "Message": message})


class FakeSendGrid(FakeApi):
    """twilio.com/docs/sendgrid/api-reference/mail-send/mail-send."""

    scheme = "sendgrid"

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/v3/mail/send", "/elsewhere")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        _only(
            body,
            "personalizations from reply_to_list subject content attachments headers "
            "custom_args",
        )
        (personal,) = body["personalizations"]
        _only(personal, "to cc bcc")
        assert personal["to"]
        types = [one["type"] for one in body["content"]]
        assert types in (["text/plain"], ["text/html"], ["text/plain", "text/html"])
        everyone = [one["email"] for some in personal.values() for one in some]
        assert len(set(everyone)) == len(everyone)
        return frozenset(everyone)

    def echoed(self, request: Request) -> str | None:
        found: dict[str, str] = request.json.get("custom_args", {})
        return found.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return Answer(202, b"", {"X-Message-Id": "14c5d75ce93.dfd.64b469"})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.errors(400, "Does not contain a valid address.")
            case PeerBehaviour.DEFER:
                return self.errors(500, "Oh.")
            case PeerBehaviour.THROTTLE:
                return Answer(429, {"errors": [{"message": "too many"}]}, RETRY_AFTER)
        return self.errors(401, f"Authorization {KEY} revoked")

    @staticmethod
    def errors(status: int, message: str) -> Answer:
        return Answer(status, {"errors": [{"message": message, "field": "to"}]})


class FakeBrevo(FakeApi):
    """developers.brevo.com/reference/sendtransacemail."""

    scheme = "brevo"

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/v3/smtp/email", "/elsewhere")
        assert request.headers["api-key"] == KEY
        _only(
            body,
            "sender to cc bcc replyTo subject textContent htmlContent headers "
            "attachment",
        )
        assert body["to"]
        lists = [body.get(one, []) for one in ("to", "cc", "bcc")]
        return frozenset(one["email"] for some in lists for one in some)

    def repetition(self, request: Request) -> str:
        return str(UUID(request.json["headers"]["idempotencyKey"]))

    def echoed(self, request: Request) -> str | None:
        pairs = request.json["headers"].get("X-Mailin-custom", "").split("|")
        found = dict(one.split(":", 1) for one in pairs if one)
        return found.get("outbox_id")

    def success(self, request: Request) -> Answer:
        key = self.repetition(request)
        if key in self.seen:
            return self.coded(400, "duplicate_parameter", "Key was used.")
        self.seen.add(key)
        return Answer(201, {"messageId": "<2026@smtp-relay.mailin.fr>"})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.coded(400, "invalid_parameter", "email is not valid in to")
            case PeerBehaviour.DEFER:
                return Answer(500, b"")
            case PeerBehaviour.THROTTLE:
                return Answer(429, {"message": "Too many"}, RETRY_AFTER)
        return self.coded(401, "unauthorized", f"Key {KEY} not found")

    @staticmethod
    def coded(status: int, code: str, message: str) -> Answer:
        return Answer(status, {"code": code, "message": message})

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()


class FakeMailgun(FakeApi):
    """documentation.mailgun.com: POST /v3/{domain_name}/messages.mime."""

    scheme = "mailgun"
    location = "mg.example.com"

    def recipients(self, request: Request) -> frozenset[str]:
        assert request.path in ("/v3/mg.example.com/messages.mime", "/elsewhere")
        login = b64encode(f"api:{KEY}".encode()).decode()
        assert request.headers["authorization"] == f"Basic {login}"
        fields = self.form(request)
        _only(fields, "to message v:outbox_id")
        (message,) = fields["message"]
        assert "Subject: Your order" in message
        return frozenset(fields["to"])

    @staticmethod
    def form(request: Request) -> dict[str, list[str]]:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = message_from_bytes(head + request.body, policy=HTTP)
        fields: dict[str, list[str]] = {}
        for part in form.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            fields.setdefault(name, []).append(part.get_content().strip())
        return fields

    def echoed(self, request: Request) -> str | None:
        return "".join(self.form(request).get("v:outbox_id", [])) or None

    def success(self, request: Request) -> Answer:
        body = {"id": "<2026.1@mg.example.com>", "message": "Queued. Thank you."}
        return Answer(200, body)

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return Answer(400, {"message": "to parameter is not a valid address"})
            case PeerBehaviour.DEFER:
                return Answer(503, b"")
            case PeerBehaviour.THROTTLE:
                return Answer(429, {"message": "Too many"}, RETRY_AFTER)
        return Answer(401, f"Forbidden {KEY}".encode())


class FakeSes(FakeApi):
    """docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html."""

    scheme = "ses"
    username, password = "AKIDEXAMPLE", KEY

    def transport(self, deadline_seconds: float = 30, **query: str) -> Transport:
        return super().transport(deadline_seconds, region="eu-west-1", **query)

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/v2/email/outbound-emails", "/elsewhere")
        scope = (
            "/eu-west-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date"
        )
        assert scope in request.headers["authorization"]
        assert request.headers["host"] == f"127.0.0.1:{self.port}"
        _only(body, "Destination Content EmailTags ConfigurationSetName")
        content = b64decode(body["Content"]["Raw"]["Data"])
        assert b"\r\nSubject: Your order\r\n" in content
        assert len(body["Destination"]["ToAddresses"]) <= 50
        return frozenset(body["Destination"]["ToAddresses"])

    def echoed(self, request: Request) -> str | None:
        tags = {one["Name"]: one["Value"] for one in request.json.get("EmailTags", [])}
        return tags.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return Answer(200, {"MessageId": "0100018c-0000-0000-0000-000000"})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.typed(400, "MessageRejected", "Virus found.")
            case PeerBehaviour.DEFER:
                return self.typed(500, "InternalFailure", "Oh.")
            case PeerBehaviour.THROTTLE:
                answer = self.typed(429, "TooManyRequestsException", "Slow down.")
                return replace(answer, headers={**answer.headers, **RETRY_AFTER})  # type: ignore[dict-item]
        return self.typed(403, "UnrecognizedClientException", f"Token {KEY}.")

    @staticmethod
    def typed(status: int, kind: str, message: str) -> Answer:
        return Answer(status, {"message": message}, {"x-amzn-ErrorType": kind})


class FakeMailjet(FakeApi):
    """dev.mailjet.com/email/guides/send-api-v31."""

    scheme = "mailjet"
    password = "s3cret-beside-the-key"
    secrets = (KEY, password)

    def parts(self, request: Request) -> list[Request]:
        messages = request.json["Messages"]
        assert 1 <= len(messages) <= 50
        if len(messages) == 1:
            return [request]
        return [
            replace(request, body=json.dumps({"Messages": [one]}).encode())
            for one in messages
        ]

    def joined(self, answers: list[Answer]) -> Answer:
        messages = [one.body["Messages"][0] for one in answers]
        return Answer(max(one.status for one in answers), {"Messages": messages})

    def recipients(self, request: Request) -> frozenset[str]:
        assert request.path in ("/v3.1/send", "/elsewhere")
        login = b64encode(f"{KEY}:{self.password}".encode()).decode()
        assert request.headers["authorization"] == f"Basic {login}"
        _only(request.json, "Messages")
        (message,) = request.json["Messages"]
        _only(
            message,
            "From To Cc Bcc ReplyTo Subject TextPart HTMLPart Headers CustomID "
            "Attachments InlinedAttachments",
        )
        assert message["To"]
        return frozenset(one["Email"] for some in self.lists(message) for one in some)

    def echoed(self, request: Request) -> str | None:
        (message,) = request.json["Messages"]
        found: str | None = message.get("CustomID")
        return found

    @staticmethod
    def lists(message: Any) -> list[Any]:
        return [message.get(kind, []) for kind in ("To", "Cc", "Bcc")]

    def success(self, request: Request) -> Answer:
        (message,) = request.json["Messages"]
        told = [
            [
                {"Email": one["Email"], "MessageID": 456 + len(self.taken)}
                for one in some
            ]
            for some in self.lists(message)
        ]
        sent = dict(zip(("To", "Cc", "Bcc"), told, strict=True))
        sent["CustomID"] = message.get("CustomID", "")
        return Answer(200, {"Messages": [{"Status": "success", **sent}]})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.coded(400, "mj-0013", "is an invalid email address.")
            case PeerBehaviour.DEFER:
                return Answer(500, b"")
            case PeerBehaviour.THROTTLE:
                return Answer(429, b"Too many", RETRY_AFTER)
        return Answer(401, {"ErrorMessage": f"{KEY} {self.password}", "ErrorCode": "x"})

    @staticmethod
    def coded(status: int, code: str, message: str) -> Answer:
        error = {"ErrorCode": code, "StatusCode": status, "ErrorMessage": message}
        return Answer(status, {"Messages": [{"Status": "error", "Errors": [error]}]})


class FakeSparkPost(FakeApi):
    """developers.sparkpost.com/api/transmissions."""

    scheme = "sparkpost"

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/api/v1/transmissions", "/elsewhere")
        assert request.headers["authorization"] == KEY
        _only(body, "options metadata recipients content")
        assert body["options"] == {"perform_substitutions": False}
        assert "\r\nSubject: Your order\r\n" in body["content"]["email_rfc822"]
        return frozenset(one["address"]["email"] for one in body["recipients"])

    def repetition(self, request: Request) -> str:
        key = request.headers["idempotency-key"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,255}", key)
        return key

    def echoed(self, request: Request) -> str | None:
        found: dict[str, str] = request.json.get("metadata", {})
        return found.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return self.counted(1, 0)

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.coded(422, "1300", "invalid data format/type")
            case PeerBehaviour.DEFER:
                return Answer(503, b"")
            case PeerBehaviour.THROTTLE:
                return Answer(429, {"errors": [{"message": "Wait."}]}, RETRY_AFTER)
        return self.coded(401, "", f"Unauthorized {KEY}.")

    @staticmethod
    def counted(accepted: int, rejected: int) -> Answer:
        results = {
            "total_rejected_recipients": rejected,
            "total_accepted_recipients": accepted,
            "id": "11668787484950529",
        }
        return Answer(200, {"results": results})

    @staticmethod
    def coded(status: int, code: str, message: str) -> Answer:
        return Answer(status, {"errors": [{"message": message, "code": code}]})


class FakeScaleway(FakeApi):
    """scaleway.com/en/developers/api/transactional-email."""

    scheme = "scaleway"

    def transport(self, deadline_seconds: float = 30, **query: str) -> Transport:
        return super().transport(deadline_seconds, project="p-1", **query)

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        path = "/transactional-email/v1alpha1/regions/fr-par/emails"
        assert request.path in (path, "/elsewhere")
        assert request.headers["x-auth-token"] == KEY
        _only(
            body,
            "project_id from to cc bcc subject text html attachments "
            "additional_headers",
        )
        assert body["project_id"] == "p-1"
        assert body["to"]
        return frozenset(self.everyone(body))

    def echoed(self, request: Request) -> str | None:
        some = request.json.get("additional_headers", [])
        return {one["key"]: one["value"] for one in some}.get("X-Outbox-ID")

    @staticmethod
    def everyone(body: Any) -> list[str]:
        lists = [body.get(one, []) for one in ("to", "cc", "bcc")]
        return [one["email"] for some in lists for one in some]

    def success(self, request: Request) -> Answer:
        emails = [
            {"id": f"id-{one}", "mail_rcpt": one, "status": "new"}
            for one in self.everyone(request.json)
        ]
        return Answer(200, {"emails": emails})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.typed(400, "invalid_arguments", "No.")
            case PeerBehaviour.DEFER:
                return self.typed(500, "internal", "Oh.")
            case PeerBehaviour.THROTTLE:
                return Answer(429, {"type": "too_many_requests"}, RETRY_AFTER)
        return self.typed(401, "denied_authentication", f"{KEY} is invalid")

    @staticmethod
    def typed(status: int, kind: str, message: str) -> Answer:
        return Answer(status, {"type": kind, "message": message})


def _named(content: bytes) -> frozenset[str]:
    """To whom a message goes where its headers are the envelope."""
    message = message_from_bytes(content, policy=SMTP)
    assert message["Subject"] == "Your order"
    assert len(message.get_all("Bcc", [])) <= 1
    return frozenset(
        one.addr_spec
        for name in ("To", "Cc", "Bcc")
        for header in message.get_all(name, [])
        for one in header.addresses
    )


class FakeGraph(FakeApi):
    """learn.microsoft.com/graph/api/user-sendmail."""

    scheme = "graph"
    mailbox = "shop@example.com"

    def transport(self, deadline_seconds: float = 30, **query: str) -> Transport:
        return super().transport(deadline_seconds, mailbox=self.mailbox, **query)

    def recipients(self, request: Request) -> frozenset[str]:
        path = "/v1.0/users/shop%40example.com/sendMail"
        assert request.path in (path, "/elsewhere")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["content-type"] == "text/plain"
        return _named(b64decode(request.body, validate=True))

    def success(self, request: Request) -> Answer:
        return Answer(202, b"")

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.coded(400, "ErrorInvalidRecipients")
            case PeerBehaviour.DEFER:
                return self.coded(503, "ErrorServerBusy")
            case PeerBehaviour.THROTTLE:
                answer = self.coded(429, "ApplicationThrottled")
                return replace(answer, headers=RETRY_AFTER)
        return self.coded(401, "InvalidAuthenticationToken", f"{KEY} has ended.")

    @staticmethod
    def coded(status: int, code: str, message: str = "No.") -> Answer:
        return Answer(status, {"error": {"code": code, "message": message}})


class FakeGmail(FakeApi):
    """developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send."""

    scheme = "gmail"

    def recipients(self, request: Request) -> frozenset[str]:
        path = "/upload/gmail/v1/users/me/messages/send?uploadType=media"
        assert request.path in (path, "/elsewhere")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["content-type"] == "message/rfc822"
        return _named(request.body)

    def success(self, request: Request) -> Answer:
        id = "19abc0123456789f"
        return Answer(200, {"id": id, "threadId": id, "labelIds": ["SENT"]})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.reasoned(400, "invalidArgument", "Invalid To header")
            case PeerBehaviour.DEFER:
                return self.reasoned(500, "backendError", "Backend Error")
            case PeerBehaviour.THROTTLE:
                answer = self.reasoned(429, "rateLimitExceeded", "Too many")
                return replace(answer, headers=RETRY_AFTER)
        return self.reasoned(401, "authError", f"Invalid Credentials {KEY}")

    @staticmethod
    def reasoned(status: int, reason: str, message: str) -> Answer:
        error = {"domain": "global", "reason": reason, "message": message}
        told = {"code": status, "message": message, "errors": [error]}
        return Answer(status, {"error": told})


class FakeMailerSend(FakeApi):
    """developers.mailersend.com/api/v1/email."""

    scheme = "mailersend"

    def recipients(self, request: Request) -> frozenset[str]:
        body = request.json
        assert request.path in ("/v1/email", "/elsewhere")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        _only(
            body,
            "from to cc bcc reply_to subject text html in_reply_to references "
            "list_unsubscribe headers tags attachments",
        )
        assert 1 <= len(body["to"]) <= 50
        assert all(len(body.get(one, [])) <= 10 for one in ("cc", "bcc"))
        lists = [body.get(one, []) for one in ("to", "cc", "bcc")]
        return frozenset(one["email"] for some in lists for one in some)

    def echoed(self, request: Request) -> str | None:
        tags = dict(one.split(":", 1) for one in request.json.get("tags", []))
        return tags.get("outbox_id")

    def success(self, request: Request) -> Answer:
        return Answer(202, b"", {"x-message-id": "5e42957d51f1d94a1070a733"})

    def failure(self, behaviour: PeerBehaviour) -> Answer:
        match behaviour:
            case PeerBehaviour.REFUSE:
                return self.told(422, "The to.0.email must be valid. #MS42209")
            case PeerBehaviour.DEFER:
                return Answer(500, b"")
            case PeerBehaviour.THROTTLE:
                answer = self.told(429, "Too Many Attempts. #MS42903")
                return replace(answer, headers=RETRY_AFTER)
        return self.told(401, f"Unauthenticated {KEY}.")

    @staticmethod
    def told(status: int, message: str) -> Answer:
        return Answer(status, {"message": message, "errors": {}})

    @staticmethod
    def suppressing(kind: str, *addresses: str, id: str | None) -> Answer:
        some = [
            {"email": one, "name": "", "reasons": ["blocklisted"]} for one in addresses
        ]
        warning = {"type": kind, "warning": "Suppressed.", "recipients": some}
        headers = {"x-message-id": id} if id else {}
        return Answer(202, {"message": "", "warnings": [warning]}, headers)


FAKES: list[type[FakeApi]] = [
    FakeBrevo,
    FakeGmail,
    FakeGraph,
    FakeMailerSend,
    FakeMailgun,
    FakeMailjet,
    FakePostmark,
    FakeResend,
    FakeScaleway,
    FakeSendGrid,
    FakeSes,
    FakeSparkPost,
]
