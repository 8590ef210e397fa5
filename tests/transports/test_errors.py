"""Each provider's errors: what each of them means for the message or the lane."""

from __future__ import annotations

import asyncio
from itertools import groupby
from operator import itemgetter
from typing import Any

import pytest

from flask_outbox import AccountTrouble, Throttled
from flask_outbox.delivery import Envelope, Outcome, Progress, Report
from flask_outbox.testing.transport_contract import (
    ADA,
    BOB,
    CONTENT,
    SENDER,
    PeerBehaviour,
)
from tests.servers.http_api import Answer, FakeApi, Request
from tests.transports.fakes import (
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
)

REFUSED, DEFERRED, UNKNOWN = Outcome.REFUSED, Outcome.DEFERRED, Outcome.UNKNOWN
Row = tuple[type[FakeApi], Answer, Outcome | type[Exception]]

resend, postmark = FakeResend.named, FakePostmark.numbered
sendgrid, brevo, ses = FakeSendGrid.errors, FakeBrevo.coded, FakeSes.typed
mailjet, sparkpost = FakeMailjet.coded, FakeSparkPost.coded
scaleway = FakeScaleway.typed
graph, gmail = FakeGraph.coded, FakeGmail.reasoned
UNVERIFIED = ses(400, "MessageRejected", "Email address is not verified.")

ROWS: list[Row] = [
    *(
        (FakeResend, resend(422, name, "No."), REFUSED)
        for name in (
            "validation_error",
            "missing_required_field",
            "missing_required_parameter",
            "invalid_parameter",
            "invalid_attachment",
            "invalid_idempotency_key",
        )
    ),
    (FakeResend, resend(400, "validation_error", "No."), REFUSED),
    (FakeResend, resend(409, "invalid_idempotent_request", "No."), REFUSED),
    (FakeResend, resend(409, "concurrent_idempotent_requests", "Wait."), DEFERRED),
    (FakeResend, resend(409, "resource_locked", "Wait."), DEFERRED),
    (FakeResend, resend(500, "application_error", "Oh."), DEFERRED),
    (FakeResend, resend(503, "service_unavailable", "Oh."), DEFERRED),
    (FakeResend, Answer(502, b"<html>"), DEFERRED),
    (FakeResend, Answer(408, b""), UNKNOWN),
    (FakeResend, Answer(413, b""), REFUSED),
    *(
        (FakeResend, resend(status, name, "No."), AccountTrouble)
        for status, name in (
            (401, "missing_api_key"),
            (401, "restricted_api_key"),
            (401, "validation_error"),
            (403, "invalid_api_key"),
            (403, "suspended_api_key"),
            (403, "validation_error"),
            (422, "invalid_permission"),
            (422, "email_above_quota"),
            (404, "not_found"),
            (405, "method_not_allowed"),
            (418, "teapot"),
        )
    ),
    *(
        (FakeResend, resend(429, name, "No."), Throttled)
        for name in (
            "rate_limit_exceeded",
            "daily_quota_exceeded",
            "monthly_quota_exceeded",
        )
    ),
    (FakeResend, Answer(200, b"It works!"), AccountTrouble),
    (FakeResend, Answer(200, {"ok": True}), AccountTrouble),
    *(
        (FakePostmark, postmark(422, code, "No."), REFUSED)
        for code in (300, 402, 403, 406, 409, 410, 411, 999)
    ),
    *(
        (FakePostmark, postmark(422, code, "No."), AccountTrouble)
        for code in (10, 100, 400, 401, 405, 412, 413)
    ),
    (FakePostmark, postmark(401, 10, "Bad token."), AccountTrouble),
    (FakePostmark, Answer(403, b""), AccountTrouble),
    (FakePostmark, Answer(404, b""), AccountTrouble),
    (FakePostmark, Answer(413, b""), REFUSED),
    (FakePostmark, Answer(429, b""), Throttled),
    (FakePostmark, Answer(500, b""), UNKNOWN),
    (FakePostmark, Answer(502, b""), DEFERRED),
    (FakePostmark, Answer(503, b""), AccountTrouble),
    (FakePostmark, Answer(200, b"<html>"), AccountTrouble),
    *((FakeSendGrid, sendgrid(status, "No."), REFUSED) for status in (400, 413)),
    *(
        (FakeSendGrid, sendgrid(status, "No."), AccountTrouble)
        for status in (401, 403, 404, 405)
    ),
    (FakeSendGrid, sendgrid(429, "No."), Throttled),
    *((FakeSendGrid, sendgrid(status, "Oh."), DEFERRED) for status in (500, 503)),
    (FakeSendGrid, Answer(200, b"{}"), AccountTrouble),
    *(
        (FakeBrevo, brevo(400, code, "No."), REFUSED)
        for code in ("invalid_parameter", "missing_parameter", "out_of_range", "new")
    ),
    (FakeBrevo, brevo(400, "duplicate_parameter", "Used."), Outcome.ACCEPTED),
    (FakeBrevo, brevo(401, "unauthorized", "No."), AccountTrouble),
    (FakeBrevo, brevo(402, "not_enough_credits", "No."), AccountTrouble),
    (FakeBrevo, brevo(403, "permission_denied", "No."), AccountTrouble),
    (FakeBrevo, Answer(429, b""), Throttled),
    (FakeBrevo, Answer(500, b""), DEFERRED),
    (FakeBrevo, Answer(201, b""), Outcome.ACCEPTED),
    (FakeBrevo, Answer(200, b"<html>"), AccountTrouble),
    (FakeMailgun, Answer(200, b"Mailgun Magnificent API"), AccountTrouble),
    *((FakeMailgun, Answer(status, b"No."), REFUSED) for status in (400, 413)),
    *(
        (FakeMailgun, Answer(status, {"message": "No."}), AccountTrouble)
        for status in (401, 402, 403, 404)
    ),
    (FakeMailgun, Answer(429, b""), Throttled),
    (FakeMailgun, Answer(500, b""), DEFERRED),
    *(
        (FakeSes, ses(400, kind, "No."), REFUSED)
        for kind in (
            "MessageRejected",
            "BadRequestException",
            "ValidationError",
            "RequestEntityTooLarge",
            "MessageRejected:http://internal.amazon.com/coral/",
            "com.amazonaws.sesv2#MessageRejected",
        )
    ),
    (FakeSes, UNVERIFIED, AccountTrouble),
    *(
        (FakeSes, ses(status, kind, "No."), AccountTrouble)
        for status, kind in (
            (400, "SendingPausedException"),
            (400, "AccountSuspendedException"),
            (400, "MailFromDomainNotVerifiedException"),
            (400, "LimitExceededException"),
            (404, "NotFoundException"),
            (403, "AccessDeniedException"),
            (403, "IncompleteSignature"),
            (403, "ExpiredTokenException"),
            (401, "NotAuthorized"),
        )
    ),
    (FakeSes, ses(429, "TooManyRequestsException", "No."), Throttled),
    (FakeSes, ses(400, "ThrottlingException", "Daily quota exceeded"), Throttled),
    (FakeSes, ses(500, "InternalFailure", "Oh."), DEFERRED),
    (FakeSes, ses(503, "ServiceUnavailable", "Oh."), DEFERRED),
    (FakeSes, ses(408, "RequestTimeout", "Oh."), DEFERRED),
    (FakeSes, Answer(200, b"<html>"), AccountTrouble),
    *((FakeMailjet, mailjet(status, "mj-1", "No."), REFUSED) for status in (400, 413)),
    *(
        (FakeMailjet, Answer(status, {"ErrorCode": "mj-2"}), AccountTrouble)
        for status in (401, 403, 404)
    ),
    (FakeMailjet, Answer(429, b"no JSON"), Throttled),
    *((FakeMailjet, Answer(status, b""), DEFERRED) for status in (500, 503)),
    (FakeMailjet, Answer(200, {"Messages": []}), AccountTrouble),
    *(
        (FakeSparkPost, sparkpost(status, "1300", "No."), REFUSED)
        for status in (400, 413, 422)
    ),
    (
        FakeSparkPost,
        sparkpost(400, "7001", "Unconfigured Sending Domain <example.com>"),
        AccountTrouble,
    ),
    *(
        (FakeSparkPost, sparkpost(status, "", "No."), AccountTrouble)
        for status in (401, 403, 404)
    ),
    *(
        (FakeSparkPost, sparkpost(status, "", "No."), Throttled)
        for status in (420, 429)
    ),
    *((FakeSparkPost, Answer(status, b""), DEFERRED) for status in (500, 503)),
    *(
        (FakeSparkPost, sparkpost(status, code, "No."), REFUSED)
        for status, code in ((409, "1600"), (400, "1602"))
    ),
    (FakeSparkPost, sparkpost(409, "1601", "In progress."), DEFERRED),
    (FakeSparkPost, FakeSparkPost.counted(0, 1), REFUSED),
    (FakeSparkPost, Answer(200, b"<html>"), AccountTrouble),
    (FakeScaleway, scaleway(400, "invalid_arguments", "No."), REFUSED),
    *(
        (FakeScaleway, scaleway(status, kind, "No."), AccountTrouble)
        for status, kind in (
            (401, "denied_authentication"),
            (403, "permissions_denied"),
            (404, "not_found"),
        )
    ),
    (FakeScaleway, scaleway(429, "too_many_requests", "No."), Throttled),
    (FakeScaleway, scaleway(500, "internal", "Oh."), DEFERRED),
    (FakeScaleway, Answer(200, b"<html>"), AccountTrouble),
    *(
        (FakeGraph, graph(status, code), REFUSED)
        for status, code in (
            (400, "ErrorInvalidRecipients"),
            (400, "RequestBodyRead"),
            (413, "ErrorMessageSizeExceeded"),
        )
    ),
    *(
        (FakeGraph, graph(status, code), AccountTrouble)
        for status, code in (
            (401, "InvalidAuthenticationToken"),
            (403, "ErrorAccessDenied"),
            (403, "ErrorSendAsDenied"),
            (404, "MailboxNotEnabledForRESTAPI"),
            (404, "ErrorInvalidUser"),
        )
    ),
    *(
        (FakeGraph, graph(status, code), Throttled)
        for status, code in (
            (429, "ApplicationThrottled"),
            (429, "ErrorExceededMessageLimit"),
            (509, "bandwidthLimitExceeded"),
        )
    ),
    (FakeGraph, graph(503, "ErrorServerBusy"), DEFERRED),
    *((FakeGraph, Answer(status, b""), UNKNOWN) for status in (500, 502, 504)),
    (FakeGraph, Answer(202, b"", {"Retry-After": "7"}), Outcome.ACCEPTED),
    (FakeGraph, Answer(200, b"<html>"), AccountTrouble),
    (FakeGmail, gmail(400, "invalidArgument", "No."), REFUSED),
    (FakeGmail, gmail(413, "uploadTooLarge", "No."), REFUSED),
    *(
        (FakeGmail, gmail(status, reason, "No."), AccountTrouble)
        for status, reason in (
            (400, "failedPrecondition"),
            (401, "authError"),
            (403, "domainPolicy"),
            (403, "insufficientPermissions"),
        )
    ),
    *(
        (FakeGmail, gmail(status, reason, "No."), Throttled)
        for status, reason in (
            (403, "rateLimitExceeded"),
            (403, "userRateLimitExceeded"),
            (403, "quotaExceeded"),
            (429, "rateLimitExceeded"),
        )
    ),
    *((FakeGmail, Answer(status, b""), DEFERRED) for status in (500, 503)),
    (FakeGmail, Answer(200, b"<html>"), AccountTrouble),
    *(
        (FakeMailerSend, FakeMailerSend.told(status, "No. #MS42299"), REFUSED)
        for status in (400, 413, 422)
    ),
    *(
        (FakeMailerSend, FakeMailerSend.told(422, f"No. #{number}"), AccountTrouble)
        for number in ("MS42204", "MS42207", "MS42222", "MS42225")
    ),
    *(
        (FakeMailerSend, FakeMailerSend.told(status, "No."), AccountTrouble)
        for status in (401, 403, 404, 421)
    ),
    (FakeMailerSend, FakeMailerSend.told(429, "Wait. #MS42903"), Throttled),
    *((FakeMailerSend, Answer(status, b""), DEFERRED) for status in (500, 503)),
    (FakeMailerSend, Answer(200, b"<html>"), AccountTrouble),
    (FakeMailerSend, Answer(202, b""), AccountTrouble),
    (
        FakeMailerSend,
        FakeMailerSend.suppressing("ALL_SUPPRESSED", ADA, id=None),
        REFUSED,
    ),
]


def deliver(api: FakeApi, answer: Answer | None, *recipients: str) -> Any:
    async def run() -> Any:
        transport = api.transport()
        try:
            envelope = Envelope(SENDER, recipients)
            return await transport.deliver(envelope, CONTENT, Progress())
        finally:
            await transport.close()

    api.answers = answer
    return asyncio.run(run())


def test_each_error_means_what_its_page_says(subtests: pytest.Subtests) -> None:
    envelope = Envelope(SENDER, (ADA,))
    for fake, rows in groupby(ROWS, key=itemgetter(0)):
        with fake() as api, asyncio.Runner() as runner:
            transport = api.transport()
            for _, answer, wanted in rows:
                api.answers = answer
                delivery = transport.deliver(envelope, CONTENT, Progress())
                with subtests.test(fake=fake.scheme, answer=answer):
                    if isinstance(wanted, Outcome):
                        report = runner.run(delivery)
                        assert report.recipients[ADA].outcome == wanted
                        assert report.recipients[ADA].reply.code == answer.status
                    else:
                        with pytest.raises(wanted):
                            runner.run(delivery)
            runner.run(transport.close())


def test_postmark_refuses_only_inactive_addresses() -> None:
    text = (
        "OK, but will not deliver to these inactive addresses: bob@example.org. "
        "Inactive recipients are ones that have generated a hard bounce."
    )
    body = {"ErrorCode": 0, "Message": text, "MessageID": "b7bc2f4a"}
    with FakePostmark() as api:
        report = deliver(api, Answer(200, body), ADA, BOB)
    outcomes = {one: told.outcome for one, told in report.recipients.items()}
    assert outcomes == {ADA: Outcome.ACCEPTED, BOB: Outcome.REFUSED}
    assert "inactive" in report.recipients[BOB].reply.text


def test_mailersend_refuses_only_those_whom_it_suppresses() -> None:
    answer = FakeMailerSend.suppressing("SOME_SUPPRESSED", BOB, id="5e42957d")
    with FakeMailerSend() as api:
        report = deliver(api, answer, ADA, BOB)
    outcomes = {one: told.outcome for one, told in report.recipients.items()}
    assert outcomes == {ADA: Outcome.ACCEPTED, BOB: Outcome.REFUSED}
    assert "blocklisted" in report.recipients[BOB].reply.text


class CutsAndThen(FakeResend):
    """Takes a first request and breaks off; the answer to all others is ``then``."""

    def __init__(self, then: Answer | PeerBehaviour) -> None:
        super().__init__()
        self._then = then
        self.behave(PeerBehaviour.CUT_AFTER_END)

    def _answer(self, request: Request) -> Answer:
        if len(self.requests) == 1:
            return super()._answer(request)
        if isinstance(self._then, Answer):
            self.behave(PeerBehaviour.ACCEPT)
            return self._then
        self.behave(self._then)
        return super()._answer(request)


def test_a_lost_reply_is_settled_only_by_an_answer_that_settles_it(
    subtests: pytest.Subtests,
) -> None:
    """What may have been taken is not taken for pending, whose key may expire."""
    cases: list[tuple[Answer | PeerBehaviour, Outcome]] = [
        (PeerBehaviour.ACCEPT, Outcome.ACCEPTED),
        (resend(422, "validation_error", "No."), REFUSED),
        (resend(409, "concurrent_idempotent_requests", "Wait."), DEFERRED),
        (resend(500, "application_error", "Oh."), UNKNOWN),
        (resend(429, "rate_limit_exceeded", "No."), UNKNOWN),
        (resend(401, "invalid_api_key", "No."), UNKNOWN),
    ]
    for then, wanted in cases:
        with subtests.test(then=then), CutsAndThen(then) as api:
            report = deliver(api, None, ADA)
            assert report.recipients[ADA].outcome == wanted


def test_brevo_knows_what_a_crash_repeats_from_a_retry() -> None:
    async def run(api: FakeBrevo) -> list[Report]:
        transport = api.transport()
        try:
            return [
                await transport.deliver(
                    Envelope(SENDER, (ADA,), attempt=attempt), CONTENT, Progress()
                )
                for attempt in (1, 1, 2)
            ]
        finally:
            await transport.close()

    with FakeBrevo() as api:
        first, repeated, retried = asyncio.run(run(api))
        assert first.accepted
        assert "has this request already" in repeated.recipients[ADA].reply.text
        assert retried.recipients[ADA].reply.code == 201
        assert len(api.taken) == 2


def test_a_part_that_was_accepted_stays_so_if_the_next_one_fails() -> None:
    class TakesOne(FakeMailjet):
        def _answer(self, request: Request) -> Answer:
            if self.taken:
                return Answer(401, {"ErrorCode": "x"})
            return super()._answer(request)

    everyone = [f"reader{number}@example.org" for number in range(2)]
    with TakesOne() as api:
        report = deliver(api, None, *everyone)
    outcomes = [one.outcome for one in report.recipients.values()]
    assert outcomes == [Outcome.ACCEPTED, DEFERRED]


def test_binary_parts_are_refused_where_the_message_is_sent_as_text() -> None:
    """Also where nobody asked at hand-over, as when it stands in for another."""

    async def run(api: FakeSparkPost) -> Report:
        transport = api.transport()
        try:
            content = CONTENT + b"caf\xe9\r\n"
            return await transport.deliver(
                Envelope(SENDER, (ADA,)), content, Progress()
            )
        finally:
            await transport.close()

    with FakeSparkPost() as api:
        report = asyncio.run(run(api))
        assert report.recipients[ADA].outcome == REFUSED
        assert "binary parts" in report.recipients[ADA].reply.text
        assert not api.requests
